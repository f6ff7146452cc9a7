// Rotary position embedding (Su et al. 2021): in every head, elements (i, i + head_dim/2) turn by the row's
// angle i: (a, b) -> (a cos - b sin, b cos + a sin). Linear, so the delta turns alike, and cotangents turn
// back. Which position gives which angle (one dimension, M-RoPE sections, two-dimensional patches) is in the
// table alone.
//
// x, y [rows, heads * head_dim]; cos_sin [rows, head_dim]: head_dim/2 cosines, then the sines.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::rope {

void forward(const Context& context, Matrix<const float> x, Matrix<const float> cos_sin, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, Matrix<const float> cos_sin,
           MatrixView dx, MatrixView dy);

void vjp(const Context& context, Matrix<const float> cos_sin, MatrixView dy, int64_t probes, MatrixView dx);

}  // namespace qsweep::ops::rope
