// Sum (the residual connection): y = a + b; dy = da + db.  blocks: in = {da, db}.
//
// vjp: da = db = dy, so no arithmetic. Where a value is read more than once its cotangents add up: sum.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::add {

void forward(const Context& context, Matrix<const float> a, Matrix<const float> b, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, MatrixView da, MatrixView db,
           MatrixView dy);

// y = a + b, all rows of cotangents; y may be a or b.
void sum(const Context& context, MatrixView a, MatrixView b, MatrixView y);

}  // namespace qsweep::ops::add
