// What the codecs give to decode.h, and what they share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "image/decode.h"

namespace qsweep::image {

std::unique_ptr<ImageReader> open_jpeg(std::span<const std::byte> bytes, int64_t max_pixels);
std::unique_ptr<ImageReader> open_png(std::span<const std::byte> bytes, int64_t max_pixels);
std::unique_ptr<ImageReader> open_webp(std::span<const std::byte> bytes, int64_t max_pixels);

// Error unless the size of an image header is allowed.
void check_size(int64_t width, int64_t height, int64_t max_pixels);

// The big-endian integers of JPEG and PNG.
uint32_t read_be(std::span<const std::byte> bytes);

}  // namespace qsweep::image
