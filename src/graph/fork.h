// Where a variant leaves its parent: the error that quantizing one op causes at its own output.
#pragma once

#include <optional>

#include "graph/forward.h"
#include "quant/format.h"
#include "scores/record.h"

namespace qsweep::graph {

// One variant that forks at an op.
struct Fork {
  int variant = 0;
  const quant::Format* format = nullptr;
  std::optional<quant::InputRange> range;  // of the op's input, for calibrated formats
};

// A weight as the products on deltas take it: f32, or bf16 (the checkpoint's own memory where it is bf16).
struct DeltaWeight {
  std::shared_ptr<Workspace::Block> block;
  kernels::DeltaView view;
};
DeltaWeight delta_weight(const Pass& pass, const TensorView& checkpoint, const Matrix<const float>& f32,
                         DType delta_dtype);

// E(x) = (Q(x) - x) W^T + Q(x) (Q(W) - W)^T: format's own error at the reference's input x, into f32 `error`
// [rows of x, out]. Products in delta_dtype, sums in f32.
void own_error(const Pass& pass, const Fork& fork, Matrix<const float> x, const Matrix<const float>& weight,
               kernels::DeltaView delta_weight, Matrix<float> error);

// Range and size of an op's input; the errors are left 0.
scores::LocalStats input_stats(Threads threads, Matrix<const float> x);

double sum_of_squares(Threads threads, Matrix<const float> x);

}  // namespace qsweep::graph
