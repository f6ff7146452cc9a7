#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/causal_conv.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/causal_conv-inl.h"
#include "kernels/dispatch.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(CausalConv);
QSWEEP_EXPORT(CausalConvVjp);

void causal_conv(Device device, std::span<const RowBlock> blocks, std::span<const int64_t> position,
                 Matrix<const float> taps, MatrixView x, MatrixView y) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(CausalConv), position.data(), taps, x, y);
}

void causal_conv_vjp(Device device, std::span<const RowBlock> blocks, std::span<const int64_t> position,
                     Matrix<const float> taps, MatrixView dy, MatrixView dx) {
  run_blocks(device, blocks, QSWEEP_KERNEL_OF(CausalConvVjp), position.data(), taps, dy, dx);
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
