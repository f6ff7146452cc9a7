// Rows by index: y[r] = x[source[r]] (window reorder and its inverse).  x, y [rows, n].
//
// delta: the same rows of dx. source counts within a sample's own rows; in forward, within all of x.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::gather {

void forward(const Context& context, std::span<const int64_t> source, Matrix<const float> x, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, std::span<const int64_t> source,
           kernels::DeltaView dx, kernels::DeltaView dy);

}  // namespace qsweep::ops::gather
