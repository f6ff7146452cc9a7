// What the tests of this folder share: temporary folders, and safetensors files put together by hand.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace qsweep::io {

// Matches a callable that throws an Error whose text contains `part`.
inline auto fails_with(const std::string& part) {
  return testing::ThrowsMessage<Error>(testing::HasSubstr(part));
}

inline std::string testdata(const std::string& path) { return std::string(QSWEEP_TESTDATA) + "/" + path; }

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = testing::TempDir() + "qsweep-io-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  // Writes a file and returns its path.
  std::string write(const std::string& name, std::string_view content) const {
    const std::string path = path_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  // Number of files and folders in it.
  auto entries() const {
    return std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator());
  }

 private:
  std::string path_;
};

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// Header length, header, data.
inline std::string safetensors(std::string_view header, std::string_view data, uint64_t length) {
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file.append(header).append(data);
}
inline std::string safetensors(std::string_view header, std::string_view data) {
  return safetensors(header, data, header.size());
}

}  // namespace qsweep::io
