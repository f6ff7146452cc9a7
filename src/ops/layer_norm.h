// Layer norm (Ba, Kiros, Hinton 2016): y = w c r + b, c = x - mean(x), r = (mean(c^2) + eps)^(-1/2), per row.
// x, y [rows, n]; w, b [n].
//
// delta, with e = dx - mean(dx) the change of c, and r' the scale after it: dr = -dv r^2 r'^2 / (r + r'),
// dv = mean(e (2c + e)); dy = w (e r' + c dr). The bias drops out.
// vjp, with g = w dy: dx = r (g - mean(g)) - c r^3 mean(g c).
#pragma once

#include <span>

#include "kernels/norm.h"
#include "ops/context.h"

namespace qsweep::ops::layer_norm {

using Weight = kernels::LayerWeight;

void forward(const Context& context, Matrix<const float> x, Weight weight, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, Matrix<const float> x,
           MatrixView dx, Weight weight, MatrixView dy);

void vjp(const Context& context, Matrix<const float> x, Weight weight, MatrixView dy, int64_t probes,
         MatrixView dx);

}  // namespace qsweep::ops::layer_norm
