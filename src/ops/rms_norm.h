// Root mean square norm (Zhang, Sennrich 2019): y = (o + w) x r, r = (mean(x^2) + eps)^(-1/2), o = 0, or 1
// where weights are stored as their difference from 1. w [n]; x, y [rows, groups * n], and every group of n
// columns is a norm of its own: the whole row, or each head of a query or key.
//
// delta, with r' the scale after the change: dr = -dm r^2 r'^2 / (r + r'), dm = mean(dx (2x + dx));
// dy = (o + w) (dx r' + x dr).
// vjp, with g = (o + w) dy: dx = r g - x r^3 mean(g x).
#pragma once

#include <span>

#include "kernels/norm.h"
#include "ops/context.h"

namespace qsweep::ops::rms_norm {

using Weight = kernels::RmsWeight;

void forward(const Context& context, Matrix<const float> x, Weight weight, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, Matrix<const float> x,
           MatrixView dx, Weight weight, MatrixView dy);

void vjp(const Context& context, Matrix<const float> x, Weight weight, MatrixView dy, int64_t probes,
         MatrixView dx);

}  // namespace qsweep::ops::rms_norm
