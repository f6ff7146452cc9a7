#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/dispatch.h"
#include "kernels/norm-inl.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(RmsNorm);
QSWEEP_EXPORT(RmsNormDelta);
QSWEEP_EXPORT(RmsNormVjp);
QSWEEP_EXPORT(LayerNorm);
QSWEEP_EXPORT(LayerNormDelta);
QSWEEP_EXPORT(LayerNormVjp);

void rms_norm(Device device, Matrix<const float> x, RmsWeight weight, Matrix<float> y) {
  const auto& [w, eps, offset] = weight;
  run_rows(device, x.rows, QSWEEP_KERNEL_OF(RmsNorm), x, w.data(), std::ssize(w), offset, eps, y);
}

void rms_norm_delta(Device device, std::span<const RowBlock> blocks, Matrix<const float> x, MatrixView dx,
                    RmsWeight weight, MatrixView dy) {
  const auto& [w, eps, offset] = weight;
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(RmsNormDelta), x, dx, w.data(), std::ssize(w), offset, eps, dy);
}

void rms_norm_vjp(Device device, std::span<const RowBlock> blocks, Matrix<const float> x, RmsWeight weight,
                  MatrixView dy, MatrixView dx) {
  const auto& [w, eps, offset] = weight;
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(RmsNormVjp), x, w.data(), std::ssize(w), offset, eps, dy, dx);
}

void layer_norm(Device device, Matrix<const float> x, LayerWeight weight, Matrix<float> y) {
  run_rows(device, x.rows, QSWEEP_KERNEL_OF(LayerNorm), x, weight.w.data(), weight.b.data(), weight.eps, y);
}

void layer_norm_delta(Device device, std::span<const RowBlock> blocks, Matrix<const float> x, MatrixView dx,
                      LayerWeight weight, MatrixView dy) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(LayerNormDelta), x, dx, weight.w.data(), weight.eps, dy);
}

void layer_norm_vjp(Device device, std::span<const RowBlock> blocks, Matrix<const float> x,
                    LayerWeight weight, MatrixView dy, MatrixView dx) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(LayerNormVjp), x, weight.w.data(), weight.eps, dy, dx);
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
