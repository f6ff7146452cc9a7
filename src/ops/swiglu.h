// Gated activation: y = silu(gate) up, silu(a) = a s(a), s the logistic function; element by element.
//
// delta (a product's da b' + a db): dy = dsilu (up + dup) + silu(gate) dup, and with d = dgate, a = gate
//   d >= 0: dsilu = d s(a+d) + a s(a+d) s(-a) (1 - e^-d)
//   d < 0:  dsilu = d s(a+d) + a s(a) s(-a-d) (e^d - 1)
// blocks: in = {dgate, dup}.
// vjp: dgate = dy up s(gate) (1 + gate s(-gate)), dup = dy silu(gate).
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::swiglu {

void forward(const Context& context, Matrix<const float> gate, Matrix<const float> up, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, Matrix<const float> gate,
           Matrix<const float> up, MatrixView dgate, MatrixView dup, MatrixView dy);

void vjp(const Context& context, Matrix<const float> gate, Matrix<const float> up, MatrixView dy,
         int64_t probes, MatrixView dgate, MatrixView dup);

}  // namespace qsweep::ops::swiglu
