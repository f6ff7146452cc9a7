#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantize.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "base/error.h"
#include "kernels/buffer.h"
#include "kernels/dispatch.h"
#include "kernels/quantize-inl.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(FakeQuantizeGroups);
QSWEEP_EXPORT(FakeQuantizeAffine);
QSWEEP_EXPORT(QuantizeRows);
QSWEEP_EXPORT(QuantizeAffine);
QSWEEP_EXPORT(Dequantize);
QSWEEP_EXPORT(RowAbsmax);
QSWEEP_EXPORT(RowMinMax);
QSWEEP_EXPORT(JoinRanges);
QSWEEP_EXPORT(RowSum);
QSWEEP_EXPORT(RowSquaredNorm);

void fake_quantize_groups(Device device, const GroupQuantizer& quantizer, Matrix<const float> x,
                          Matrix<float> y) {
  if (x.empty()) return;  // a row without elements has no groups
  const int64_t groups = groups_of(x.cols, quantizer.group);
  run_rows_with_scratch(device, x.rows, groups * int64_t{sizeof(float)}, QSWEEP_KERNEL_OF(FakeQuantizeGroups),
                        quantizer, x, y);
}

void fake_quantize_affine(Device device, const AffineQuantizer& quantizer, Matrix<const float> x,
                          Matrix<float> y) {
  run_rows(device, x.rows, QSWEEP_KERNEL_OF(FakeQuantizeAffine), quantizer, x, y);
}

void quantize_rows(Device device, const GroupQuantizer& quantizer, Matrix<const float> x,
                   Matrix<int8_t> codes, std::span<float> scale, std::span<int32_t> sums) {
  QSWEEP_CHECK(quantizer.grid == Grid::integers, "codes of small floats");
  run_rows(device, x.rows, QSWEEP_KERNEL_OF(QuantizeRows), quantizer, x, codes, scale.data(),
           sums.empty() ? nullptr : sums.data());
}

void quantize_affine(Device device, const AffineQuantizer& quantizer, Matrix<const float> x,
                     MatrixView codes) {
  run_rows(device, x.rows, QSWEEP_KERNEL_OF(QuantizeAffine), quantizer, x, codes);
}

void dequantize(Device device, const IntegerProducts& from, Matrix<const float> minus, Matrix<float> y) {
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(Dequantize), from, minus, y);
}

void row_absmax(Device device, Matrix<const float> x, std::span<float> absmax) {
  run_rows(device, x.rows, QSWEEP_KERNEL_OF(RowAbsmax), x, absmax.data());
}

void row_min_max(Device device, Matrix<const float> x, std::span<float> min, std::span<float> max) {
  run_rows(device, x.rows, QSWEEP_KERNEL_OF(RowMinMax), x, min.data(), max.data());
}

void join_ranges(Device device, std::span<const float> min, std::span<const float> max, RangePlace to) {
  run_rows(device, 1, QSWEEP_KERNEL_OF(JoinRanges), min.data(), max.data(), static_cast<int64_t>(min.size()),
           to.min, to.max);
}

void find_range(Device device, Matrix<const float> x, RangePlace to) {
  const Buffer min(device, DType::f32, 1, x.rows), max(device, DType::f32, 1, x.rows);
  row_min_max(device, x, min.elements<float>(), max.elements<float>());
  join_ranges(device, min.elements<float>(), max.elements<float>(), to);
}

void squared_norm(Device device, MatrixView x, double* sum) {
  const Buffer rows(device, DType::f64, 1, x.rows);
  row_squared_norm(device, x, rows.elements<double>());
  run_rows(device, 1, QSWEEP_KERNEL_OF(RowSum), rows.matrix<double>(), sum);
}

void row_squared_norm(Device device, MatrixView x, std::span<double> squared_norm) {
  run_rows(device, x.rows, QSWEEP_KERNEL_OF(RowSquaredNorm), x, squared_norm.data());
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
