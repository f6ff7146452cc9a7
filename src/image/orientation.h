// The orientation that a camera wrote beside the pixels.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "image/decode.h"

namespace qsweep::image {

// Orientation 1..8 from an EXIF block (a TIFF file, with or without "Exif\0\0" before it; may be empty) or,
// where that has no orientation tag, from an XMP packet (may be empty). 1 where there is none or it has
// another value. Entries that lie outside the block are ignored; Error where the block is not TIFF at all.
int read_orientation(std::span<const std::byte> exif, std::string_view xmp);

// How an upright pixel is found in the stored image: x and y exchanged, then mirrored in the stored image's
// axes.
struct Turn {
  bool transpose;
  bool mirror_x;
  bool mirror_y;
};
Turn turn_of(int orientation);

// The image turned upright.
RgbImage apply_orientation(RgbImage image, int orientation);

}  // namespace qsweep::image
