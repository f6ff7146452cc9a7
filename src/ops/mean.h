// Average pooling of neighbouring rows: y[r] = mean of x[factor * r + k] over k < factor.  x [factor * rows,
// n], y [rows, n].
//
// Linear: the delta is the same mean. vjp: dx[factor * r + k] = dy[r] / factor.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::mean {

void forward(const Context& context, Matrix<const float> x, int64_t factor, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, int64_t factor, MatrixView dx,
           MatrixView dy);

void vjp(const Context& context, int64_t factor, MatrixView dy, MatrixView dx);

}  // namespace qsweep::ops::mean
