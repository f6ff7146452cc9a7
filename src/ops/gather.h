// Rows by index: y[r] = x[source[r]], zeros where that is -1 (window reorder and its inverse; image features
// to where the tokens are).  x [rows, n], y [rows of any kind, n].
//
// delta: the same rows of dx. source counts within a sample's own rows; in forward and vjp, within all of x.
// vjp: dx[r] = the sum of dy's rows that read row r, zero where there is none.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::gather {

void forward(const Context& context, std::span<const int64_t> source, Matrix<const float> x, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, std::span<const int64_t> source,
           MatrixView dx, MatrixView dy);

// Rows of dy whose source is -1 go nowhere.
void vjp(const Context& context, std::span<const int64_t> source, MatrixView dy, int64_t probes,
         MatrixView dx);

}  // namespace qsweep::ops::gather
