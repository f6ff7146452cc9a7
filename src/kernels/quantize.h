// Row kernels that quantize and dequantize ("fake quantization"): f32, rounding half to even, and division
// where a rule says so, never a product with an inverse in its place. A NaN stays a NaN.
#pragma once

#include <span>

#include "base/codec.h"
#include "kernels/device.h"
#include "tensor/matrix.h"

namespace qsweep::kernels {

// The values that a number may take before it is multiplied with its scale.
enum class Grid { integers, e4m3, e3m2, e2m1 };

// How the scale of a group follows from its largest absolute value `absmax`, and how it is applied. `high` is
// the grid's largest value.
enum class ScaleRule {
  absmax,        // s = absmax / high;  y = round(x / s) s;  s = 0 gives 0
  power_of_two,  // s = 2^max(floor(log2 absmax) - floor(log2 high), -127), else as absmax
  two_level,     // t = tensor_absmax / (high 448), s = E4M3(min(absmax / (high t), 448)) t, else as absmax
  half_span,     // s = max(absmax / ((high - low) / 2), 2^-23);  y = round(x (1 / s)) s
  inverse,       // m = high / absmax;  y = round(x m) / m, for small floats round(x m) (1 / m);
                 // absmax <= 2^-24: integers give 0, small floats take it as 1
};

struct GroupQuantizer {
  Grid grid = Grid::integers;
  float low = 0, high = 0;  // codes beyond are clamped
  ScaleRule rule = ScaleRule::absmax;
  int64_t group = 0;        // elements of a row that share a scale; a row's last group may be short
  float tensor_absmax = 0;  // for the rule two_level
  bool one_scale = false;   // all groups have the scale of tensor_absmax
};
constexpr int64_t groups_of(int64_t cols, int64_t group) { return (cols + group - 1) / group; }
void fake_quantize_groups(Device device, const GroupQuantizer& quantizer, Matrix<const float> x,
                          Matrix<float> y);

// One scale and a zero point: q = clamp(round(x / scale) + zero_point, 0, high), y = (q - zero_point) scale;
// scale 0 gives 0. by_inverse: x (1 / scale) in place of x / scale.
struct AffineQuantizer {
  float scale = 0, zero_point = 0, high = 0;
  bool by_inverse = false;
};
void fake_quantize_affine(Device device, const AffineQuantizer& quantizer, Matrix<const float> x,
                          Matrix<float> y);

// The codes themselves, for products in integers; a NaN becomes some code. Whole rows have one scale (`group`
// is not read): x = scale[r] codes, int8. sums, where not empty: of each row's codes.
void quantize_rows(Device device, const GroupQuantizer& quantizer, Matrix<const float> x,
                   Matrix<int8_t> codes, std::span<float> scale, std::span<int32_t> sums);
void quantize_affine(Device device, const AffineQuantizer& quantizer, Matrix<const float> x,
                     Matrix<uint8_t> codes);

// What integer products mean: y = row_scale column_scale (products - zero_point column_sum) + bias - minus,
// in f64 on the way. Without `minus` nothing is subtracted.
struct IntegerProducts {
  Matrix<const int32_t> products;
  std::span<const float> row_scale, column_scale;
  std::span<const int32_t> column_sum;  // of the codes that meet a column; only with a zero point
  float zero_point = 0;
  const float* bias = nullptr;
};
void dequantize(Device device, const IntegerProducts& from, Matrix<const float> minus, Matrix<float> y);

}  // namespace qsweep::kernels
