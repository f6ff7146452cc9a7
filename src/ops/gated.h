// Gated activation (Shazeer 2020): y = f(gate) up, f as in activation.h; element by element.
//
// delta (a product's da b' + a db): dy = df (up + dup) + f(gate) dup, df the activation's delta.
// blocks: in = {dgate, dup}.
// vjp: dgate = dy up f'(gate), dup = dy f(gate).
#pragma once

#include <span>

#include "ops/activation.h"

namespace qsweep::ops::gated {

using activation::Kind;

void forward(const Context& context, Kind kind, Matrix<const float> gate, Matrix<const float> up,
             Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, Kind kind,
           Matrix<const float> gate, Matrix<const float> up, MatrixView dgate, MatrixView dup, MatrixView dy);

void vjp(const Context& context, Kind kind, Matrix<const float> gate, Matrix<const float> up, MatrixView dy,
         int64_t probes, MatrixView dgate, MatrixView dup);

}  // namespace qsweep::ops::gated
