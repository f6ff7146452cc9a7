// Gaussian error linear unit: y = x Phi(x), Phi the standard normal distribution function; element by
// element.
//
// delta: d Phi(x+d) + x (Phi(x+d) - Phi(x)); for |d| < 1/2 the difference is d m, m the mean of the normal
// density over [x, x+d] by five-point Gauss-Legendre quadrature.
// vjp: dx = dy (Phi(x) + x phi(x)), phi the normal density.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::gelu {

void forward(const Context& context, Matrix<const float> x, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, Matrix<const float> x,
           MatrixView dx, MatrixView dy);

void vjp(const Context& context, Matrix<const float> x, MatrixView dy, int64_t probes, MatrixView dx);

}  // namespace qsweep::ops::gelu
