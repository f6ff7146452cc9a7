// Neighbouring rows side by side, channel by channel: y[r, factor * c + k] = x[factor * r + k, c], the order
// of PyTorch's unfold. (One after the other needs no arithmetic: dense rows are merged as they stand.) x
// [factor * rows, n], y [rows, factor * n].
//
// Linear: the delta is merged alike; vjp: dx[factor * r + k, c] = dy[r, factor * c + k].
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::merge {

void forward(const Context& context, Matrix<const float> x, int64_t factor, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, int64_t factor, MatrixView dx,
           MatrixView dy);

void vjp(const Context& context, int64_t factor, MatrixView dy, MatrixView dx);

}  // namespace qsweep::ops::merge
