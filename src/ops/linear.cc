#include "ops/linear.h"

namespace qsweep::ops::linear {

using kernels::view_of;

void forward(const Context& context, Matrix<const float> x, kernels::DeltaView w, const float* bias,
             Matrix<float> y) {
  context.gemm.linear(view_of(x), w, view_of(y), {.bias = bias, .f32_rows = context.f32_rows});
}

void delta(const Context& context, kernels::DeltaView dx, kernels::DeltaView w, kernels::DeltaView dy,
           bool accumulate) {
  context.gemm.linear(dx, w, dy, {.accumulate = accumulate, .purpose = kernels::GemmPurpose::deltas});
}

void vjp(const Context& context, kernels::DeltaView dy, kernels::DeltaView w, kernels::DeltaView dx) {
  QSWEEP_CHECK(dy.cols == w.rows && w.cols == dx.cols && dy.rows == dx.rows,
               "[{}, {}] x [{}, {}] -> [{}, {}]", dy.rows, dy.cols, w.rows, w.cols, dx.rows, dx.cols);
  context.gemm.multiply(kernels::operand(dy), kernels::operand(w), kernels::operand(dx),
                        {.purpose = kernels::GemmPurpose::cotangents});
}

}  // namespace qsweep::ops::linear
