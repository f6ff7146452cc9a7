#include "ops/activation.h"

#include "ops/probes.h"

namespace qsweep::ops::activation {

using kernels::RowBlock;

void forward(const Context& context, Kind kind, Matrix<const float> x, Matrix<float> y) {
  kernels::activation(context.device(), kind, x, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, Kind kind, Matrix<const float> x,
           MatrixView dx, MatrixView dy) {
  kernels::activation_delta(context.device(), blocks, kind, x, dx, dy);
}

void vjp(const Context& context, Kind kind, Matrix<const float> x, MatrixView dy, int64_t probes,
         MatrixView dx) {
  kernels::activation_vjp(context.device(), probe_blocks(probes, x.rows), kind, x, dy, dx);
}

}  // namespace qsweep::ops::activation
