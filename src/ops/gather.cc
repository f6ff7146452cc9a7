#include "ops/gather.h"

namespace qsweep::ops::gather {

using kernels::DeltaView;
using kernels::RowBlock;

void forward(const Context& context, std::span<const int64_t> source, Matrix<const float> x,
             Matrix<float> y) {
  QSWEEP_CHECK(static_cast<int64_t>(source.size()) == y.rows && x.cols == y.cols, "{} indices for [{}, {}]",
               source.size(), y.rows, y.cols);
  kernels::gather(context.threads(), source, x, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, std::span<const int64_t> source,
           DeltaView dx, DeltaView dy) {
  kernels::gather_delta(context.threads(), blocks, source, dx, dy);
}

}  // namespace qsweep::ops::gather
