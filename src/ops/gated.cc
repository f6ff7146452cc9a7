#include "ops/gated.h"

#include "ops/probes.h"

namespace qsweep::ops::gated {

using kernels::RowBlock;

void forward(const Context& context, const Form& form, Matrix<const float> gate, Matrix<const float> up,
             Matrix<float> y) {
  QSWEEP_CHECK(gate.rows == up.rows && gate.cols == up.cols, "gate [{}, {}], up [{}, {}]", gate.rows,
               gate.cols, up.rows, up.cols);
  kernels::gated(context.device(), form, gate, up, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, const Form& form,
           Matrix<const float> gate, Matrix<const float> up, MatrixView dgate, MatrixView dup,
           MatrixView dy) {
  kernels::gated_delta(context.device(), blocks, form, gate, up, dgate, dup, dy);
}

void vjp(const Context& context, const Form& form, Matrix<const float> gate, Matrix<const float> up,
         MatrixView dy, int64_t probes, MatrixView dgate, MatrixView dup) {
  kernels::gated_vjp(context.device(), probe_blocks(probes, gate.rows), form, gate, up, dy, dgate, dup);
}

}  // namespace qsweep::ops::gated
