// Sum (the residual connection): y = a + b; dy = da + db.  blocks: in = {da, db}.
//
// vjp: da = db = dy, so no arithmetic. Where a value is read more than once its cotangents add up: accumulate.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::add {

void forward(const Context& context, Matrix<const float> a, Matrix<const float> b, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, kernels::DeltaView da,
           kernels::DeltaView db, kernels::DeltaView dy);

// sum += g, all rows. In cotangents' dtype.
void accumulate(const Context& context, kernels::DeltaView g, kernels::DeltaView sum);

}  // namespace qsweep::ops::add
