#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activations.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/activations-inl.h"
#include "kernels/dispatch.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(Swiglu);
QSWEEP_EXPORT(SwigluDelta);
QSWEEP_EXPORT(Gelu);
QSWEEP_EXPORT(GeluDelta);
QSWEEP_EXPORT(SwigluVjp);
QSWEEP_EXPORT(GeluVjp);

void swiglu(Device device, Matrix<const float> gate, Matrix<const float> up, Matrix<float> y) {
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(Swiglu), gate, up, y);
}

void swiglu_delta(Device device, std::span<const RowBlock> blocks, Matrix<const float> gate,
                  Matrix<const float> up, MatrixView dgate, MatrixView dup, MatrixView dy) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(SwigluDelta), gate, up, dgate, dup, dy);
}

void gelu(Device device, Matrix<const float> x, Matrix<float> y) {
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(Gelu), x, y);
}

void gelu_delta(Device device, std::span<const RowBlock> blocks, Matrix<const float> x, MatrixView dx,
                MatrixView dy) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(GeluDelta), x, dx, dy);
}

void swiglu_vjp(Device device, std::span<const RowBlock> blocks, Matrix<const float> gate,
                Matrix<const float> up, MatrixView dy, MatrixView dgate, MatrixView dup) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(SwigluVjp), gate, up, dy, dgate, dup);
}

void gelu_vjp(Device device, std::span<const RowBlock> blocks, Matrix<const float> x, MatrixView dy,
              MatrixView dx) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(GeluVjp), x, dy, dx);
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
