// Activation, element by element: y = f(x). All but gelu are x s(g(x)), s the logistic function:
//   silu        g = x
//   gelu        x Phi(x), Phi the standard normal distribution function (Hendrycks, Gimpel 2016)
//   gelu_tanh   g = 2 sqrt(2/pi) (x + 0.044715 x^3), that is x (1 + tanh(g/2)) / 2
//   quick_gelu  g = 1.702 x
//
// delta, with h = g(x+d) - g(x), which for gelu_tanh is 2 sqrt(2/pi) d (1 + 0.044715 (3x^2 + 3xd + d^2)):
//   h >= 0: d s(g+h) + x s(g+h) s(-g) (1 - e^-h)
//   h < 0:  d s(g+h) + x s(g) s(-g-h) (e^h - 1)
//   gelu:   d Phi(x+d) + x (Phi(x+d) - Phi(x)); for |d| < 1/2 the difference is d m, m the mean of the normal
//           density over [x, x+d] by five-point Gauss-Legendre quadrature.
// vjp: dx = dy f'(x), f' = s(g) (1 + x g' s(-g)); gelu: Phi(x) + x phi(x), phi the normal density.
#pragma once

#include <span>

#include "kernels/activations.h"
#include "ops/context.h"

namespace qsweep::ops::activation {

using Kind = kernels::Activation;

void forward(const Context& context, Kind kind, Matrix<const float> x, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, Kind kind,
           Matrix<const float> x, MatrixView dx, MatrixView dy);

void vjp(const Context& context, Kind kind, Matrix<const float> x, MatrixView dy, int64_t probes,
         MatrixView dx);

}  // namespace qsweep::ops::activation
