// A model's folder with something changed.
#pragma once

#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

namespace qsweep::testing {

// A copy that lives as long as this object; change(folder) makes the difference.
class ChangedModel {
 public:
  template <class Change>
  ChangedModel(const std::string& folder, Change&& change) {
    std::filesystem::copy(folder, path_);
    change(path_);
  }
  ChangedModel(const ChangedModel&) = delete;
  ~ChangedModel() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }

 private:
  static std::string new_path() {
    static int count = 0;
    return ::testing::TempDir() + "model-" + std::to_string(getpid()) + "-" + std::to_string(count++);
  }
  const std::string path_ = new_path();
};

}  // namespace qsweep::testing
