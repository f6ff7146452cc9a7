// What the tests of this folder share: safetensors files put together by hand.
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
#include "support/temporary_folder.h"

namespace qsweep::io {

// Matches a callable that throws an Error whose text contains `part`.
inline auto fails_with(const std::string& part) {
  return ::testing::ThrowsMessage<Error>(::testing::HasSubstr(part));
}

inline std::string testdata(const std::string& path) { return std::string(QSWEEP_TESTDATA) + "/" + path; }

using testing::read_text;
using testing::TemporaryFolder;

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
