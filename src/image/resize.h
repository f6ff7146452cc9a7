// Pillow's resize.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "image/decode.h"

namespace qsweep::image {

struct Size {
  int64_t height = 0;
  int64_t width = 0;

  bool operator==(const Size&) const = default;
};

// The names of Pillow's filters.
enum class Resample { bilinear, bicubic };

// Output i = sum over t < counts[i] of weights[i * stride + t] * input[firsts[i] + t], in fixed point.
struct ResizeFilter {
  std::vector<int64_t> firsts;
  std::vector<int64_t> counts;
  std::vector<int32_t> weights;
  int64_t stride = 0;

  int64_t size() const { return static_cast<int64_t>(firsts.size()); }
  int64_t end(int64_t i) const { return firsts[static_cast<size_t>(i)] + counts[static_cast<size_t>(i)]; }
};

// Image.resize(size, BILINEAR or BICUBIC) of Pillow 13.0 on 8-bit RGB, bit by bit: a triangle, or cubic
// convolution with a = -0.5, widened by the scale when shrinking (antialiasing), coefficients in 22-bit fixed
// point, each of the two passes rounded and clipped to 8 bits. Rows come first, but columns where the image
// loses more than twice as many rows as columns (older versions of Pillow always begin with the rows: single
// pixels differ by a level).
// The image comes row by row as it is stored, and is never held whole: an orientation that exchanges or
// mirrors its axes is taken into account in the filters and the order of passes, and applied to the result.
class RowResizer {
 public:
  // Neither size may be empty. `upright` is the size of the result.
  RowResizer(Size stored, int orientation, Size upright, Resample resample);

  // The next row, from top to bottom.
  void add(const uint8_t* row);
  // The resized image, upright, after all rows.
  RgbImage finish();

  // The most memory that all this takes, the result included.
  int64_t bytes() const;

 private:
  struct OpenRow {
    int64_t index = 0;
    std::vector<int32_t> sums;
  };
  void add_to_columns(const uint8_t* line);
  void emit(const OpenRow& row);
  int64_t max_open() const;
  int64_t line_elems() const;

  Size stored_;
  int orientation_;
  bool columns_first_;  // in the stored image
  ResizeFilter across_;
  ResizeFilter down_;
  int64_t rows_seen_ = 0;
  int64_t rows_opened_ = 0;
  std::deque<OpenRow> open_;  // rows of the result that the next input row may still reach
  std::vector<uint8_t> line_;
  RgbImage result_;  // as stored
};

// A whole image at once.
RgbImage resize(const RgbImage& image, Size size, Resample resample);

}  // namespace qsweep::image
