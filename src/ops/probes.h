// Cotangents: gradients of K numbers, the probes, with respect to a value, [K * rows, cols], one probe's rows
// after the other's.
#pragma once

#include <vector>

#include "kernels/rows.h"

namespace qsweep::ops {

// One block per probe: all rows of the value, `in_rows` and `out_rows` apart in the input and the output.
inline std::vector<kernels::RowBlock> probe_blocks(int64_t probes, int64_t in_rows, int64_t out_rows) {
  std::vector<kernels::RowBlock> blocks;
  for (int64_t k = 0; k < probes; ++k)
    blocks.push_back({.rows = out_rows,
                      .parent = 0,
                      .in = {k * in_rows, kernels::kAbsent, kernels::kAbsent},
                      .out = k * out_rows});
  return blocks;
}

// The same for a value that an op maps row by row.
inline std::vector<kernels::RowBlock> probe_blocks(int64_t probes, int64_t rows) {
  return probe_blocks(probes, rows, rows);
}

}  // namespace qsweep::ops
