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

}  // namespace qsweep::ops::add
