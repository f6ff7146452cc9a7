// A multiple: y = factor x; its delta and its vjp alike.  x, y [rows, n].
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::scale {

void forward(const Context& context, Matrix<const float> x, float factor, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, float factor, MatrixView dx,
           MatrixView dy);

void vjp(const Context& context, float factor, MatrixView dy, MatrixView dx);

}  // namespace qsweep::ops::scale
