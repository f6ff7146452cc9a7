#include "ops/mean.h"

#include "kernels/row_moves.h"
#include "ops/probes.h"

namespace qsweep::ops::mean {

void forward(const Context& context, Matrix<const float> x, int64_t factor, Matrix<float> y) {
  QSWEEP_CHECK(x.rows == factor * y.rows && x.cols == y.cols, "[{}, {}] into [{}, {}]", x.rows, x.cols,
               y.rows, y.cols);
  kernels::mean_rows(context.device(), probe_blocks(1, x.rows, y.rows), factor, view_of(x), view_of(y));
}

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, int64_t factor, MatrixView dx,
           MatrixView dy) {
  kernels::mean_rows(context.device(), blocks, factor, dx, dy);
}

// The rows of all probes at once: the first row of each is a multiple of factor.
void vjp(const Context& context, int64_t factor, MatrixView dy, MatrixView dx) {
  QSWEEP_CHECK(dx.rows == factor * dy.rows && dx.cols == dy.cols, "[{}, {}] from [{}, {}]", dx.rows, dx.cols,
               dy.rows, dy.cols);
  kernels::mean_rows_vjp(context.device(), probe_blocks(1, dy.rows, dx.rows), factor, dy, dx);
}

}  // namespace qsweep::ops::mean
