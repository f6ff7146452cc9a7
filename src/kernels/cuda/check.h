// Errors of CUDA's runtime as ours.
#pragma once

#include <cuda_runtime_api.h>

#include "base/error.h"

namespace qsweep::kernels::cuda {

inline void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // else the next call would report it again
  fail("CUDA: {}: {}", what, cudaGetErrorString(code));
}

}  // namespace qsweep::kernels::cuda
