// Sum (the residual connection): y = a + b; dy = da + db.  blocks: in = {da, db}.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::add {

void forward(const Context& context, Matrix<const float> a, Matrix<const float> b, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, kernels::DeltaView da,
           kernels::DeltaView db, kernels::DeltaView dy);

}  // namespace qsweep::ops::add
