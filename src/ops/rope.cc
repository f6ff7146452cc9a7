#include "ops/rope.h"

#include "kernels/elementwise.h"
#include "ops/probes.h"

namespace qsweep::ops::rope {

using kernels::RowBlock;

void forward(const Context& context, Matrix<const float> x, Matrix<const float> cos_sin, Matrix<float> y) {
  QSWEEP_CHECK(x.rows == cos_sin.rows && x.cols % cos_sin.cols == 0 && cos_sin.cols % 2 == 0,
               "x [{}, {}], cos_sin [{}, {}]", x.rows, x.cols, cos_sin.rows, cos_sin.cols);
  kernels::rotate(context.device(), x, cos_sin, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, Matrix<const float> cos_sin,
           MatrixView dx, MatrixView dy) {
  kernels::rotate_delta(context.device(), blocks, cos_sin, dx, dy);
}

void vjp(const Context& context, Matrix<const float> cos_sin, MatrixView dy, int64_t probes, MatrixView dx) {
  kernels::rotate_back(context.device(), probe_blocks(probes, cos_sin.rows), cos_sin, dy, dx);
}

}  // namespace qsweep::ops::rope
