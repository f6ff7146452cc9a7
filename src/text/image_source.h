// An image that the data asks for: where it is, and how it is to be resized.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace qsweep::text {

struct ImageSource {
  std::string location;  // as the data writes it: a path or an URI
  std::string folder;    // of the data file, which relative paths are relative to

  // Keys of the message format of Qwen2.5-VL, which replace those of the preprocessor for this image. The two
  // sides are given together, and win over the limits.
  std::optional<int64_t> min_pixels = {}, max_pixels = {};
  std::optional<int64_t> resized_height = {}, resized_width = {};

  bool operator==(const ImageSource&) const = default;
};

}  // namespace qsweep::text
