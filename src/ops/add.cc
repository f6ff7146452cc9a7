#include "ops/add.h"

namespace qsweep::ops::add {

using kernels::DeltaView;
using kernels::RowBlock;

void forward(const Context& context, Matrix<const float> a, Matrix<const float> b, Matrix<float> y) {
  QSWEEP_CHECK(a.rows == b.rows && a.cols == b.cols, "a [{}, {}], b [{}, {}]", a.rows, a.cols, b.rows,
               b.cols);
  kernels::add(context.threads(), a, b, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, DeltaView da, DeltaView db,
           DeltaView dy) {
  kernels::add_delta(context.threads(), blocks, da, db, dy);
}

void accumulate(const Context& context, DeltaView g, DeltaView sum) {
  QSWEEP_CHECK(g.rows == sum.rows && g.cols == sum.cols && g.dtype == sum.dtype, "[{}, {}] += [{}, {}]",
               sum.rows, sum.cols, g.rows, g.cols);
  const RowBlock whole{.rows = sum.rows, .parent = 0, .in = {0, 0, kernels::kAbsent}, .out = 0};
  kernels::add_delta(context.threads(), {&whole, 1}, sum, g, sum);
}

}  // namespace qsweep::ops::add
