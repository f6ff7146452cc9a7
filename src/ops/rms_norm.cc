#include "ops/rms_norm.h"

#include "ops/probes.h"

namespace qsweep::ops::rms_norm {

using kernels::RowBlock;

void forward(const Context& context, Matrix<const float> x, Weight weight, Matrix<float> y) {
  QSWEEP_CHECK(
      !weight.w.empty() && x.cols % std::ssize(weight.w) == 0 && x.cols == y.cols && x.rows == y.rows,
      "x [{}, {}], w [{}]", x.rows, x.cols, weight.w.size());
  kernels::rms_norm(context.device(), x, weight, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, Matrix<const float> x, MatrixView dx,
           Weight weight, MatrixView dy) {
  kernels::rms_norm_delta(context.device(), blocks, x, dx, weight, dy);
}

void vjp(const Context& context, Matrix<const float> x, Weight weight, MatrixView dy, int64_t probes,
         MatrixView dx) {
  kernels::rms_norm_vjp(context.device(), probe_blocks(probes, x.rows), x, weight, dy, dx);
}

}  // namespace qsweep::ops::rms_norm
