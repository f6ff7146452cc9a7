// Token embedding: y[r] = table[ids[r]], widened to f32.  table [vocabulary, n], y [rows, n]. Never
// quantized, so it has no delta, and nothing before it
// that a cotangent could reach.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::embedding {

void forward(const Context& context, std::span<const int32_t> ids, const TensorView& table, Matrix<float> y);

// What forward() takes at its peak beside y, pages of a mapped table included.
int64_t scratch_bytes(const Context& context, int64_t rows, const TensorView& table);

}  // namespace qsweep::ops::embedding
