#include "ops/linear.h"

namespace qsweep::ops::linear {

using kernels::view_of;

void forward(const Context& context, Matrix<const float> x, Matrix<const float> w, const float* bias,
             Matrix<float> y) {
  context.gemm.linear(view_of(x), view_of(w), view_of(y), {.bias = bias});
}

void delta(const Context& context, kernels::DeltaView dx, kernels::DeltaView w, kernels::DeltaView dy,
           bool accumulate) {
  context.gemm.linear(dx, w, dy, {.accumulate = accumulate, .purpose = kernels::GemmPurpose::deltas});
}

}  // namespace qsweep::ops::linear
