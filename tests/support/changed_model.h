// A model's folder with something changed.
#pragma once

#include <filesystem>
#include <string>

#include "support/temporary_folder.h"

namespace qsweep::testing {

// A copy that lives as long as this object; change(folder) makes the difference.
class ChangedModel {
 public:
  template <class Change>
  ChangedModel(const std::string& folder, Change&& change) {
    std::filesystem::copy(folder, folder_.path());
    change(folder_.path());
  }

  const std::string& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

}  // namespace qsweep::testing
