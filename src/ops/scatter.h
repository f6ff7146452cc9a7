// Image features into the token sequence: y[r] = features[source[r]] where source[r] >= 0, else tokens[r].
// tokens, y [rows, n], features [image rows, n].
//
// delta: the same rows of dtokens and dfeatures. source counts within a sample's own feature rows; in forward
// and vjp, within all of features. blocks: in = {dtokens, dfeatures}.
// vjp: to each feature row the cotangents of the rows that it went to, to the tokens those of the other rows.
#pragma once

#include <span>

#include "ops/context.h"

namespace qsweep::ops::scatter {

void forward(const Context& context, std::span<const int64_t> source, Matrix<const float> tokens,
             Matrix<const float> features, Matrix<float> y);

void delta(const Context& context, std::span<const kernels::RowBlock> blocks, std::span<const int64_t> source,
           MatrixView dtokens, MatrixView dfeatures, MatrixView dy);

// Either may be without data: nobody asks for it.
void vjp(const Context& context, std::span<const int64_t> source, MatrixView dy, int64_t probes,
         MatrixView dtokens, MatrixView dfeatures);

}  // namespace qsweep::ops::scatter
