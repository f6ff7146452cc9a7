#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_rows.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/attention_rows-inl.h"
#include "kernels/dispatch.h"

#if HWY_ONCE
namespace qsweep::kernels {
QSWEEP_EXPORT(Softmax);
QSWEEP_EXPORT(SoftmaxDelta);
QSWEEP_EXPORT(SoftmaxVjp);

void softmax(Device device, const AttentionTile& tile, Matrix<float> s, Matrix<float> p, std::span<float> lse,
             std::span<int32_t> argmax) {
  run_rows(device, tile.heads * tile.queries, QSWEEP_KERNEL_OF(Softmax), tile, s, p, lse.data(),
           argmax.data());
}

void softmax_delta(Device device, const AttentionTile& tile, Matrix<const float> s, Matrix<const float> p,
                   std::span<const float> lse, std::span<const int32_t> argmax, Matrix<const float> ds,
                   MatrixView dp) {
  run_rows(device, ds.rows, QSWEEP_KERNEL_OF(SoftmaxDelta), tile, s, p, lse.data(), argmax.data(), ds, dp);
}

void softmax_vjp(Device device, const AttentionTile& tile, Matrix<const float> p, std::span<const float> lse,
                 std::span<const int32_t> argmax, Matrix<const float> dp, MatrixView ds) {
  run_rows(device, dp.rows, QSWEEP_KERNEL_OF(SoftmaxVjp), tile, p, lse.data(), argmax.data(), dp, ds);
}

}  // namespace qsweep::kernels
#endif  // HWY_ONCE
