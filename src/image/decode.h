// Image files to RGB pixels: JPEG, PNG and WebP.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
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

// Takes the next row of an image, 3 bytes a pixel.
using RowSink = std::function<void(const uint8_t* rgb)>;

// An image file in memory whose header is read. Its pixels are those that Pillow gives for open,
// ImageOps.exif_transpose, convert("RGB"): the EXIF (or XMP) orientation counts, alpha and palette
// transparency are dropped (not composited), CMYK is converted without a colour profile, 16-bit grey is
// clipped to 255 (not scaled), 16-bit colour keeps its high byte, an animation gives its first frame. A
// damaged file that Pillow reads is read with the same pixels; one that it refuses is an Error.
class ImageReader {
 public:
  virtual ~ImageReader() = default;

  // As stored, before the orientation is applied.
  int64_t width() const { return width_; }
  int64_t height() const { return height_; }
  int orientation() const { return orientation_; }  // 1..8
  // Hands on all rows as they are stored, from top to bottom; once only. Error where the file is damaged too
  // much: rows that were handed on are of no use then.
  virtual void read_rows(const RowSink& sink) = 0;
  // The most memory that the reader takes, from open_image until it is destroyed; without the file itself and
  // what the sink takes.
  int64_t bytes() const { return bytes_; }
  // After read_rows, what is damaged in a file that was read nonetheless; empty where nothing is.
  const std::string& damage() const { return damage_; }

 protected:
  int64_t width_ = 0;
  int64_t height_ = 0;
  int orientation_ = 1;
  int64_t bytes_ = 0;
  std::string damage_;
};

// The format is found by the first bytes, which must outlive the reader. Error on an unknown format, a
// damaged header, a side above kMaxSide or more than max_pixels pixels; sizes are checked before anything is
// allocated.
std::unique_ptr<ImageReader> open_image(std::span<const std::byte> bytes, int64_t max_pixels = kMaxPixels);

// A whole image, upright. `where` names the source in errors.
RgbImage decode(std::span<const std::byte> bytes, const std::string& where, int64_t max_pixels = kMaxPixels);

// The bytes of an image file.
std::vector<std::byte> read_image_file(const std::string& path);

}  // namespace qsweep::image
