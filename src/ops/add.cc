#include "ops/add.h"

#include "kernels/elementwise.h"

namespace qsweep::ops::add {

using kernels::RowBlock;

void forward(const Context& context, Matrix<const float> a, Matrix<const float> b, Matrix<float> y) {
  QSWEEP_CHECK(a.rows == b.rows && a.cols == b.cols, "a [{}, {}], b [{}, {}]", a.rows, a.cols, b.rows,
               b.cols);
  kernels::add(context.device(), a, b, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, MatrixView da, MatrixView db,
           MatrixView dy) {
  kernels::add_delta(context.device(), blocks, da, db, dy);
}

void sum(const Context& context, MatrixView a, MatrixView b, MatrixView y) {
  for (const MatrixView& x : {a, b})
    QSWEEP_CHECK(x.rows == y.rows && x.cols == y.cols && x.dtype == y.dtype, "[{}, {}] into [{}, {}]", x.rows,
                 x.cols, y.rows, y.cols);
  const RowBlock whole{.rows = y.rows, .parent = 0, .in = {0, 0, kernels::kAbsent}, .out = 0};
  kernels::add_delta(context.device(), {&whole, 1}, a, b, y);
}

}  // namespace qsweep::ops::add
