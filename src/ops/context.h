// What every op computes with.
#pragma once

#include "kernels/gemm.h"

namespace qsweep::ops {

struct Context {
  kernels::Gemm& gemm;
  // An op that works in tiles keeps its tiles within about this much memory.
  int64_t tile_bytes = int64_t{256} << 20;
  kernels::F32Rows f32_rows = kernels::F32Rows::in_three_parts;  // of linear layers' values

  kernels::Device device() const { return gemm.device(); }
  Threads threads() const { return gemm.threads(); }
};

}  // namespace qsweep::ops
