#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/dispatch.h"
#include "kernels/elementwise-inl.h"
#include "tensor/tensor.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(Add);
QSWEEP_EXPORT(AddDelta);
QSWEEP_EXPORT(AddToParent);
QSWEEP_EXPORT(Scale);
QSWEEP_EXPORT(Rotate);
QSWEEP_EXPORT(RotateDelta);
QSWEEP_EXPORT(Convert);
QSWEEP_EXPORT(ToF32);
QSWEEP_EXPORT(Split);
QSWEEP_EXPORT(AddParts);
QSWEEP_EXPORT(SubtractParent);
QSWEEP_EXPORT(SumPieces);
QSWEEP_EXPORT(SubtractMean);

void add(Device device, Matrix<const float> a, Matrix<const float> b, Matrix<float> y) {
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(Add), a, b, y);
}

void add_delta(Device device, std::span<const RowBlock> blocks, MatrixView da, MatrixView db, MatrixView dy) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(AddDelta), da, db, dy);
}

void add_to_parent(Device device, std::span<const RowBlock> blocks, Matrix<const float> parent, MatrixView d,
                   MatrixView y) {
  QSWEEP_CHECK(d.data == nullptr || d.dtype == y.dtype || y.dtype == DType::f32, "a parent and {} into {}",
               name(d.dtype), name(y.dtype));
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(AddToParent), parent, d, y);
}

void scale(Device device, std::span<const RowBlock> blocks, float factor, MatrixView x, MatrixView y) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(Scale), factor, x, y);
}

void rotate(Device device, Matrix<const float> x, Matrix<const float> cos_sin, Matrix<float> y) {
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(Rotate), x, cos_sin, y);
}

void rotate_delta(Device device, std::span<const RowBlock> blocks, Matrix<const float> cos_sin, MatrixView dx,
                  MatrixView dy) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(RotateDelta), cos_sin, 1.0f, dx, dy);
}

void rotate_back(Device device, std::span<const RowBlock> blocks, Matrix<const float> cos_sin, MatrixView dy,
                 MatrixView dx) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(RotateDelta), cos_sin, -1.0f, dy, dx);
}

void convert(Device device, Matrix<const float> x, MatrixView y) {
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(Convert), x, y);
}

void to_f32(Device device, TensorView x, Matrix<float> y) {
  QSWEEP_CHECK(x.elements() == y.rows * y.cols && y.contiguous(), "{} elements into {} x {}", x.elements(),
               y.rows, y.cols);
  QSWEEP_CHECK(x.dtype == DType::bf16 || x.dtype == DType::f16 || x.dtype == DType::f32, "{} into f32",
               name(x.dtype));
  constexpr int64_t kPiece = 4096;
  const int64_t n = x.elements();
  run_rows(device, (n + kPiece - 1) / kPiece, QSWEEP_KERNEL_OF(ToF32), kPiece, n, x.data, x.dtype, y.data);
}

void split(Device device, Matrix<const float> x, Matrix<bf16> parts) {
  if (x.rows == 0) return;
  QSWEEP_CHECK(parts.rows % x.rows == 0 && parts.cols == x.cols, "[{}, {}] in parts of [{}, {}]", parts.rows,
               parts.cols, x.rows, x.cols);
  run_rows(device, x.rows, QSWEEP_KERNEL_OF(Split), x, parts);
}

void subtract_mean(Device device, Matrix<const float> x, Matrix<double> sums, Matrix<float> y) {
  run_rows(device, sums.rows, QSWEEP_KERNEL_OF(SumPieces), x, sums);
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(SubtractMean), x, sums, y);
}

void add_parts(Device device, Matrix<const float> parts, const float* bias, bool accumulate,
               Matrix<float> y) {
  if (y.rows == 0) return;
  QSWEEP_CHECK(parts.rows % y.rows == 0 && parts.cols == y.cols, "parts of [{}, {}] into [{}, {}]",
               parts.rows, parts.cols, y.rows, y.cols);
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(AddParts), parts, bias, accumulate, y);
}

void subtract_parent(Device device, std::span<const RowBlock> blocks, MatrixView a,
                     Matrix<const float> parent, MatrixView y) {
  QSWEEP_CHECK(a.dtype == DType::f32 || a.dtype == y.dtype, "{} less a parent into {}", name(a.dtype),
               name(y.dtype));
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(SubtractParent), a, parent, y);
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
