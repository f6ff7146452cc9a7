// Row kernels (row_block.h) of activations f, element by element.
#pragma once

#include <limits>
#include <span>

#include "kernels/device.h"
#include "kernels/row_block.h"

namespace qsweep::kernels {

// All but gelu are x s(g(x)), s the logistic function.
enum class Activation {
  silu,       // g(x) = x
  gelu,       // x Phi(x), Phi the standard normal distribution function (Hendrycks, Gimpel 2016)
  gelu_tanh,  // g(x) = 2 sqrt(2 / pi) (x + 0.044715 x^3), that is x (1 + tanh(g(x) / 2)) / 2
  quick_gelu  // g(x) = 1.702 x
};

// y = f(x)
void activation(Device device, Activation f, Matrix<const float> x, Matrix<float> y);
void activation_delta(Device device, std::span<const RowBlock> blocks, Activation f, Matrix<const float> x,
                      MatrixView dx, MatrixView dy);
void activation_vjp(Device device, std::span<const RowBlock> blocks, Activation f, Matrix<const float> x,
                    MatrixView dy, MatrixView dx);

// y = f(gate) up, or with a limit f(min(gate, limit)) (max(-limit, min(up, limit)) + offset).
struct GatedForm {
  Activation f = Activation::silu;
  float limit = std::numeric_limits<float>::infinity();
  float offset = 0;

  constexpr bool clamped() const { return limit < std::numeric_limits<float>::infinity(); }
};
// in[0] is gate, in[1] is up
void gated(Device device, const GatedForm& form, Matrix<const float> gate, Matrix<const float> up,
           Matrix<float> y);
void gated_delta(Device device, std::span<const RowBlock> blocks, const GatedForm& form,
                 Matrix<const float> gate, Matrix<const float> up, MatrixView dgate, MatrixView dup,
                 MatrixView dy);
void gated_vjp(Device device, std::span<const RowBlock> blocks, const GatedForm& form,
               Matrix<const float> gate, Matrix<const float> up, MatrixView dy, MatrixView dgate,
               MatrixView dup);

}  // namespace qsweep::kernels
