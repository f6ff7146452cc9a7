// Gated activation (Shazeer 2020): y = f(gate) up, f as in activation.h; element by element. With a limit
// (gpt-oss), f(min(gate, limit)) (max(-limit, min(up, limit)) + offset).
//
// delta (a product's da b' + a db): dy = df (up + dup) + f(gate) dup, df the activation's delta. Where a
// limit cuts gate or up off, dgate and dup are what is left of their changes. blocks: in = {dgate, dup}. vjp:
// dgate = dy up f'(gate), dup = dy f(gate); 0 where they are cut off.
#pragma once

#include <span>

#include "ops/activation.h"

namespace qsweep::ops::gated {

using Form = kernels::GatedForm;

void forward(const Context& context, const Form& form, Matrix<const float> gate, Matrix<const float> up,
             Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, const Form& form,
           Matrix<const float> gate, Matrix<const float> up, MatrixView dgate, MatrixView dup, MatrixView dy);

void vjp(const Context& context, const Form& form, Matrix<const float> gate, Matrix<const float> up,
         MatrixView dy, int64_t probes, MatrixView dgate, MatrixView dup);

}  // namespace qsweep::ops::gated
