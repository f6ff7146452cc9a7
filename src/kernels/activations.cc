#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activations.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/activations-inl.h"
#include "kernels/dispatch.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(Activate);
QSWEEP_EXPORT(ActivationDelta);
QSWEEP_EXPORT(ActivationVjp);
QSWEEP_EXPORT(Gated);
QSWEEP_EXPORT(GatedDelta);
QSWEEP_EXPORT(GatedVjp);

void activation(Device device, Activation f, Matrix<const float> x, Matrix<float> y) {
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(Activate), f, x, y);
}

void activation_delta(Device device, std::span<const RowBlock> blocks, Activation f, Matrix<const float> x,
                      MatrixView dx, MatrixView dy) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(ActivationDelta), f, x, dx, dy);
}

void activation_vjp(Device device, std::span<const RowBlock> blocks, Activation f, Matrix<const float> x,
                    MatrixView dy, MatrixView dx) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(ActivationVjp), f, x, dy, dx);
}

void gated(Device device, const GatedForm& form, Matrix<const float> gate, Matrix<const float> up,
           Matrix<float> y) {
  run_rows(device, y.rows, QSWEEP_KERNEL_OF(Gated), form, gate, up, y);
}

void gated_delta(Device device, std::span<const RowBlock> blocks, const GatedForm& form,
                 Matrix<const float> gate, Matrix<const float> up, MatrixView dgate, MatrixView dup,
                 MatrixView dy) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(GatedDelta), form, gate, up, dgate, dup, dy);
}

void gated_vjp(Device device, std::span<const RowBlock> blocks, const GatedForm& form,
               Matrix<const float> gate, Matrix<const float> up, MatrixView dy, MatrixView dgate,
               MatrixView dup) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(GatedVjp), form, gate, up, dy, dgate, dup);
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
