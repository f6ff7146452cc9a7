// What the codecs give to decode(), and what they share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "image/decode.h"

namespace qsweep::image {

struct Decoded {
  RgbImage image;       // as stored
  int orientation = 1;  // 1..8, still to be applied
};

Decoded decode_jpeg(std::span<const std::byte> bytes, int64_t max_pixels);
Decoded decode_png(std::span<const std::byte> bytes, int64_t max_pixels);
Decoded decode_webp(std::span<const std::byte> bytes, int64_t max_pixels);

// Error unless the size of an image header is allowed.
void check_size(int64_t width, int64_t height, int64_t max_pixels);

// Grows `image.pixels` to hold row y and returns that row. Memory is touched row by row, so that a small
// damaged file with a large header does not cost a large image.
uint8_t* grow_to_row(RgbImage& image, int64_t y);

}  // namespace qsweep::image
