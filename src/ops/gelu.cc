#include "ops/gelu.h"

namespace qsweep::ops::gelu {

using kernels::DeltaView;
using kernels::RowBlock;

void forward(const Context& context, Matrix<const float> x, Matrix<float> y) {
  kernels::gelu(context.threads(), x, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, Matrix<const float> x, DeltaView dx,
           DeltaView dy) {
  kernels::gelu_delta(context.threads(), blocks, x, dx, dy);
}

}  // namespace qsweep::ops::gelu
