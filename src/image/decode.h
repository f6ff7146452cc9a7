// Image files to RGB pixels: JPEG, PNG and WebP.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace qsweep::image {

struct RgbImage {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> pixels;  // [height, width, 3]
};

inline constexpr int64_t kMaxSide = 65535;
// Where Pillow refuses an image as a decompression bomb.
inline constexpr int64_t kMaxPixels = 178'956'970;

// The pixels that Pillow gives for open, ImageOps.exif_transpose, convert("RGB"): the EXIF (or XMP)
// orientation is applied, alpha and palette transparency are dropped (not composited), CMYK is converted
// without a colour profile, 16-bit grey is clipped to 255 (not scaled), 16-bit colour keeps its high byte, an
// animation gives its first frame. The format is found by the first bytes. `where` names the source in
// errors. Error on an unknown format, a damaged or truncated file, a side above kMaxSide or more than
// max_pixels pixels; sizes are checked before allocation.
RgbImage decode(std::span<const std::byte> bytes, const std::string& where, int64_t max_pixels = kMaxPixels);

// Reads and decodes a file.
RgbImage load(const std::string& path);

}  // namespace qsweep::image
