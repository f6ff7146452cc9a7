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

void rms_norm(Device device, Matrix<const float> x, std::span<const float> w, float eps, Matrix<float> y) {
  run_rows(device, x.rows, QSWEEP_KERNEL_OF(RmsNorm), x, w.data(), eps, y);
}

void rms_norm_delta(Device device, std::span<const RowBlock> blocks, Matrix<const float> x, MatrixView dx,
                    std::span<const float> w, float eps, MatrixView dy) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(RmsNormDelta), x, dx, w.data(), eps, dy);
}

void rms_norm_vjp(Device device, std::span<const RowBlock> blocks, Matrix<const float> x,
                  std::span<const float> w, float eps, MatrixView dy, MatrixView dx) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(RmsNormVjp), x, w.data(), eps, dy, dx);
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
