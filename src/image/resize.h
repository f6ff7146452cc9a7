// The size that a Qwen2-VL image processor chooses, and Pillow's bicubic resize.
#pragma once

#include <cstdint>

#include "image/decode.h"

namespace qsweep::image {

struct Size {
  int64_t height = 0;
  int64_t width = 0;

  bool operator==(const Size&) const = default;
};

// transformers' smart_resize (models/qwen2_vl/image_processing_qwen2_vl.py): both sides multiples of
// `factor`, the pixel count within [min_pixels, max_pixels] as far as that allows, the aspect ratio roughly
// kept. Python's rounding: half to even. Error where one side is more than 200 times the other. All arguments
// are positive.
Size smart_resize(int64_t height, int64_t width, int64_t factor, int64_t min_pixels, int64_t max_pixels);

// Image.resize(size, BICUBIC) of Pillow 13.0 on 8-bit RGB, bit by bit: cubic convolution with a = -0.5,
// widened by the scale when shrinking (antialiasing), coefficients in 22-bit fixed point, each of the two
// passes rounded and clipped to 8 bits. Rows come first, but columns where the image loses more than twice as
// many rows as columns (older versions of Pillow always begin with the rows: single pixels differ by a
// level). Neither size may be empty.
RgbImage resize_bicubic(const RgbImage& image, Size size);

}  // namespace qsweep::image
