// The int8 ops of PyTorch's quantized modules on FBGEMM, number for number.
#pragma once

#include <vector>

#include "graph/forward.h"
#include "inc/observer.h"

namespace qsweep::inc {

// s8 codes in a type whose products f32 sums hold exactly: bf16 where the processor multiplies it, else f32.
struct QuantizedWeight {
  std::shared_ptr<graph::Workspace::Block> block;
  MatrixView codes;            // [out, in]
  std::vector<float> scale;    // per output channel: max abs / 127.5
  std::vector<int64_t> parts;  // ends of runs of input features; no sum over a run can exceed 2^24
};
QuantizedWeight quantize_weight(const graph::Pass& pass, Matrix<const float> weight);

struct LinearRanges {
  AffineU8 input, output;
};

// y = the dequantized u8 output of the int8 op; bias may be null.
void quantized_linear(const graph::Pass& pass, const QuantizedWeight& weight, const float* bias,
                      const LinearRanges& ranges, Matrix<const float> x, Matrix<float> y);

// Rows of a table that is kept as u8 with an f32 scale and offset per row.
void quantized_embedding(const graph::Pass& pass, const TensorView& table, Matrix<float> y);

}  // namespace qsweep::inc
