#include "ops/rms_norm.h"

#include "kernels/norm.h"
#include "ops/probes.h"

namespace qsweep::ops::rms_norm {

using kernels::RowBlock;

void forward(const Context& context, Matrix<const float> x, std::span<const float> w, float eps,
             Matrix<float> y) {
  QSWEEP_CHECK(x.cols == static_cast<int64_t>(w.size()) && x.cols == y.cols && x.rows == y.rows,
               "x [{}, {}], w [{}]", x.rows, x.cols, w.size());
  kernels::rms_norm(context.device(), x, w, eps, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, Matrix<const float> x, MatrixView dx,
           std::span<const float> w, float eps, MatrixView dy) {
  kernels::rms_norm_delta(context.device(), blocks, x, dx, w, eps, dy);
}

void vjp(const Context& context, Matrix<const float> x, std::span<const float> w, float eps, MatrixView dy,
         int64_t probes, MatrixView dx) {
  kernels::rms_norm_vjp(context.device(), probe_blocks(probes, x.rows), x, w, eps, dy, dx);
}

}  // namespace qsweep::ops::rms_norm
