#include "ops/swiglu.h"

#include "ops/probes.h"

namespace qsweep::ops::swiglu {

using kernels::RowBlock;

void forward(const Context& context, Matrix<const float> gate, Matrix<const float> up, Matrix<float> y) {
  QSWEEP_CHECK(gate.rows == up.rows && gate.cols == up.cols, "gate [{}, {}], up [{}, {}]", gate.rows,
               gate.cols, up.rows, up.cols);
  kernels::swiglu(context.device(), gate, up, y);
}

void delta(const Context& context, std::span<const RowBlock> blocks, Matrix<const float> gate,
           Matrix<const float> up, MatrixView dgate, MatrixView dup, MatrixView dy) {
  kernels::swiglu_delta(context.device(), blocks, gate, up, dgate, dup, dy);
}

void vjp(const Context& context, Matrix<const float> gate, Matrix<const float> up, MatrixView dy,
         int64_t probes, MatrixView dgate, MatrixView dup) {
  kernels::swiglu_vjp(context.device(), probe_blocks(probes, gate.rows), gate, up, dy, dgate, dup);
}

}  // namespace qsweep::ops::swiglu
