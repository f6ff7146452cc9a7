#include "ops/linear.h"

namespace qsweep::ops::linear {

void forward(const Context& context, Matrix<const float> x, MatrixView w, const float* bias,
             Matrix<float> y) {
  context.gemm.linear(view_of(x), w, view_of(y), {.bias = bias, .f32_rows = context.f32_rows});
}

void delta(const Context& context, MatrixView dx, MatrixView w, MatrixView dy, bool accumulate) {
  context.gemm.linear(dx, w, dy, {.accumulate = accumulate, .purpose = kernels::GemmPurpose::deltas});
}

void vjp(const Context& context, MatrixView dy, MatrixView w, MatrixView dx) {
  QSWEEP_CHECK(dy.cols == w.rows && w.cols == dx.cols && dy.rows == dx.rows,
               "[{}, {}] x [{}, {}] -> [{}, {}]", dy.rows, dy.cols, w.rows, w.cols, dx.rows, dx.cols);
  context.gemm.multiply(kernels::operand(dy), kernels::operand(w), kernels::operand(dx),
                        {.purpose = kernels::GemmPurpose::cotangents});
}

}  // namespace qsweep::ops::linear
