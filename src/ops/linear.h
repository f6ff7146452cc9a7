// Linear layer: y = x W^T + b.  x [rows, in], W [out, in], b [out], y [rows, out].
//
// delta: dy = dx W^T. The bias drops out.
// vjp: dx = dy W, one product for all probes.
#pragma once

#include "ops/context.h"

namespace qsweep::ops::linear {

// w is f32 or bf16; bias may be null.
void forward(const Context& context, Matrix<const float> x, MatrixView w, const float* bias, Matrix<float> y);

// w: of a dtype that Gemm takes with dx's. With `accumulate`, dy += dx W^T.
void delta(const Context& context, MatrixView dx, MatrixView w, MatrixView dy, bool accumulate = false);

// w: of a dtype that Gemm takes with dy's.
void vjp(const Context& context, MatrixView dy, MatrixView w, MatrixView dx);

}  // namespace qsweep::ops::linear
