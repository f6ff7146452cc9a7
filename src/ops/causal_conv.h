// Causal convolution over the rows of each segment, every column by itself, without a bias (the depthwise
// Conv1d of state space models and of Qwen3-Next's linear attention, padded on the left):
//   y[t, c] = sum over j of w[c, width - 1 - j] x[t - j, c], with zeros before the segment's first row.
// x, y [rows, cols]; w [cols, width], as Conv1d stores it, without its middle axis.
//
// Linear: the delta is that of dx. vjp: dx[t, c] = sum over j of w[c, width - 1 - j] dy[t + j, c].
#pragma once

#include <span>

#include "ops/context.h"
#include "ops/segment.h"

namespace qsweep::ops::causal_conv {

void forward(const Context& context, std::span<const Segment> segments, Matrix<const float> x,
             Matrix<const float> w, Matrix<float> y);

// Every block's parent rows are a union of segments.
void delta(const Context& context, std::span<const Segment> segments,
           std::span<const kernels::RowBlock> blocks, MatrixView dx, Matrix<const float> w, MatrixView dy);

void vjp(const Context& context, std::span<const Segment> segments, Matrix<const float> w, MatrixView dy,
         int64_t probes, MatrixView dx);

}  // namespace qsweep::ops::causal_conv
