// Columns side by side: y = [a | b].  a [rows, n], b [rows, m], y [rows, n + m].
//
// Linear: the delta is joined alike, zeros where a or b does not change; vjp: da and db are the columns of
// dy.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::join {

void forward(const Context& context, Matrix<const float> a, Matrix<const float> b, Matrix<float> y);

// blocks: in = {da, db}, at least one of them in each.
void delta(const Context& context, std::span<const kernels::RowBlock> blocks, MatrixView da, MatrixView db,
           MatrixView dy);

void vjp(const Context& context, MatrixView dy, MatrixView da, MatrixView db);

}  // namespace qsweep::ops::join
