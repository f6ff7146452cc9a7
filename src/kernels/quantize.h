// Row kernels that quantize and dequantize ("fake quantization"): f32, rounding half to even, and division
// where a rule says so, never a product with an inverse in its place. A NaN stays a NaN.
#pragma once

#include <span>

#include "base/codec.h"
#include "kernels/device.h"
#include "kernels/rows.h"
#include "tensor/matrix.h"

namespace qsweep::kernels {

// The values that a number may take before it is multiplied with its scale.
enum class Grid { integers, e4m3, e3m2, e2m1 };

// How the scale of a group follows from its largest absolute value `absmax`, and how it is applied. `high` is
// the grid's largest value.
enum class ScaleRule {
  absmax,           // s = absmax / high;  y = round(x / s) s;  s = 0 gives 0
  power_of_two,     // s = 2^max(floor(log2 absmax) - floor(log2 high), -127), else as absmax
  power_of_two_up,  // s = 2^max(ceil(log2(absmax / high)), -127), so that nothing is clamped, else as absmax
  two_level,        // t = tensor_absmax / (high 448), s = E4M3(min(absmax / (high t), 448)) t, else as absmax
  half_span,        // s = max(absmax / ((high - low) / 2), 2^-23);  y = round(x (1 / s)) s
  inverse,          // m = high / absmax;  y = round(x m) / m, for small floats round(x m) (1 / m);
                    // absmax <= 2^-24: integers give 0, small floats take it as 1
};

// The smallest and the largest of some numbers. Kernels read the one that a quantizer points to, so that the
// host need not know what a device has found.
struct Range {
  float min = 0, max = 0;
};
// Where one is written: in one place, or its ends in two.
struct RangePlace {
  float *min, *max;
  RangePlace(Range* range) : min(&range->min), max(&range->max) {}  // NOLINT: is one
  RangePlace(float* low, float* high) : min(low), max(high) {}
};
// Of a matrix that is not empty, and of ranges whose ends stand in two lists.
void find_range(Device device, Matrix<const float> x, RangePlace to);
void join_ranges(Device device, std::span<const float> min, std::span<const float> max, RangePlace to);

struct GroupQuantizer {
  Grid grid = Grid::integers;
  float low = 0, high = 0;  // codes beyond are clamped
  ScaleRule rule = ScaleRule::absmax;
  int64_t group = 0;              // elements of a row that share a scale; a row's last group may be short
  const Range* tensor = nullptr;  // its largest absolute value is tensor_absmax, for the rule two_level
  bool one_scale = false;         // all groups have the scale of tensor_absmax
};
constexpr int64_t groups_of(int64_t cols, int64_t group) { return (cols + group - 1) / group; }
void fake_quantize_groups(Device device, const GroupQuantizer& quantizer, Matrix<const float> x,
                          Matrix<float> y);

// One scale and a zero point, of the range with lo = min(min, 0) and hi = max(max, 0): scale = (hi - lo) /
// 255, zero_point = clamp(round(-lo / scale), 0, 255), q = clamp(round(x / scale) + zero_point, 0, 255), y =
// (q - zero_point) scale; scale 0 gives 0. half_span: the scale is at least 2^-23, and x (1 / scale) stands
// in place of x / scale.
struct AffineQuantizer {
  const Range* range = nullptr;
  bool half_span = false;
};
void fake_quantize_affine(Device device, const AffineQuantizer& quantizer, Matrix<const float> x,
                          Matrix<float> y);

// The codes themselves, for products in integers; a NaN becomes some code. Whole rows have one scale (`group`
// is not read): x = scale[r] codes, int8. sums, where not empty: of each row's codes.
void quantize_rows(Device device, const GroupQuantizer& quantizer, Matrix<const float> x,
                   Matrix<int8_t> codes, std::span<float> scale, std::span<int32_t> sums);
// q as uint8, or q - 128 as int8.
void quantize_affine(Device device, const AffineQuantizer& quantizer, Matrix<const float> x,
                     MatrixView codes);

// What integer products mean: y = row_scale column_scale (products - zero_point column_sum) + bias - minus,
// in f64 on the way. Without `minus` nothing is subtracted.
struct IntegerProducts {
  Matrix<const int32_t> products;
  const float* row_scale = nullptr;  // null: the one scale of `affine`, which then gives the zero point too
  AffineQuantizer affine = {};
  DType affine_codes = DType::u8;  // what they were
  const float* column_scale = nullptr;
  const int32_t* column_sum = nullptr;  // of the codes that meet a column; only with `affine`
  const float* bias = nullptr;
};
void dequantize(Device device, const IntegerProducts& from, Matrix<const float> minus, Matrix<float> y);

}  // namespace qsweep::kernels
