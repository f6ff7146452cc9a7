// Root mean square norm: y = w x r, r = (mean(x^2) + eps)^(-1/2), per row.  x, y [rows, n], w [n].
//
// delta, with r' the scale after the change: dr = -dm r^2 r'^2 / (r + r'), dm = mean(dx (2x + dx));
// dy = w (dx r' + x dr).
// vjp: dx = r w dy - x r^3 mean(w dy x).
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::rms_norm {

void forward(const Context& context, Matrix<const float> x, std::span<const float> w, float eps,
             Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, Matrix<const float> x,
           MatrixView dx, std::span<const float> w, float eps, MatrixView dy);

void vjp(const Context& context, Matrix<const float> x, std::span<const float> w, float eps, MatrixView dy,
         int64_t probes, MatrixView dx);

}  // namespace qsweep::ops::rms_norm
