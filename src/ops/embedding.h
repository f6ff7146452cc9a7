// Token embedding: y[r] = table[ids[r]], widened to f32.  table [vocabulary, n], y [rows, n]. Never
// quantized, so it has no delta, and nothing before it
// that a cotangent could reach.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::embedding {

void forward(const Context& context, std::span<const int32_t> ids, const TensorView& table, Matrix<float> y);

}  // namespace qsweep::ops::embedding
