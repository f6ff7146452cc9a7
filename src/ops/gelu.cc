#include "ops/gelu.h"

#include "ops/probes.h"

namespace qsweep::ops::gelu {

using kernels::RowBlock;

void forward(const Context& context, Matrix<const float> x, Matrix<float> y) {
  kernels::gelu(context.device(), x, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, Matrix<const float> x, MatrixView dx,
           MatrixView dy) {
  kernels::gelu_delta(context.device(), blocks, x, dx, dy);
}

void vjp(const Context& context, Matrix<const float> x, MatrixView dy, int64_t probes, MatrixView dx) {
  kernels::gelu_vjp(context.device(), probe_blocks(probes, x.rows), x, dy, dx);
}

}  // namespace qsweep::ops::gelu
