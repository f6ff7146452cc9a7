#include "ops/scale.h"

#include "kernels/elementwise.h"
#include "ops/probes.h"

namespace qsweep::ops::scale {

void forward(const Context& context, Matrix<const float> x, float factor, Matrix<float> y) {
  QSWEEP_CHECK(x.rows == y.rows && x.cols == y.cols, "[{}, {}] into [{}, {}]", x.rows, x.cols, y.rows,
               y.cols);
  kernels::scale(context.device(), probe_blocks(1, y.rows), factor, view_of(x), view_of(y));
}

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, float factor, MatrixView dx,
           MatrixView dy) {
  kernels::scale(context.device(), blocks, factor, dx, dy);
}

void vjp(const Context& context, float factor, MatrixView dy, MatrixView dx) {
  kernels::scale(context.device(), probe_blocks(1, dy.rows), factor, dy, dx);
}

}  // namespace qsweep::ops::scale
