// The threads that work on one row or on one part of it.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include "kernels/cuda/block.h"

namespace qsweep::kernels::N_CUDA {

// The values of `size` neighbours within a warp, the lanes of `mask`, in one.
template <class U, class Combine>
__device__ __forceinline__ U over_lanes(unsigned mask, unsigned size, U value, Combine&& combine) {
  for (unsigned step = size / 2; step > 0; step /= 2)
    value = combine(value, __shfl_xor_sync(mask, value, static_cast<int>(step)));
  return value;
}

// All threads of a block.
class RowTeam {
 public:
  __device__ __forceinline__ unsigned size() const { return blockDim.x; }
  __device__ __forceinline__ unsigned rank() const { return threadIdx.x; }
  // What any of the threads wrote before, all of them see after it.
  __device__ __forceinline__ void sync() const { __syncthreads(); }

  // All threads' values in one, always in the same order.
  template <class U, class Combine>
  __device__ __forceinline__ U over_all(U value, Combine&& combine) const {
    __shared__ U of_warps[kBlockThreads / kWarpThreads];
    value = over_lanes(kWholeWarp, kWarpThreads, value, combine);
    if (rank() % kWarpThreads == 0) of_warps[rank() / kWarpThreads] = value;
    sync();
    value = of_warps[0];
    for (unsigned warp = 1; warp < size() / kWarpThreads; ++warp) value = combine(value, of_warps[warp]);
    sync();  // before the next word writes to `of_warps`
    return value;
  }
};

// A power of two of threads, neighbours within a warp, or all of the block.
class PartTeam {
 public:
  // For `parts` parts, in each of which `wanted` threads have something to do.
  __device__ __forceinline__ PartTeam(int64_t parts, int64_t wanted) {
    if (wanted > kWarpThreads && parts < blockDim.x / kWarpThreads) {
      size_ = blockDim.x;
    } else {
      while (size_ < kWarpThreads && size_ < wanted) size_ *= 2;
    }
  }

  __device__ __forceinline__ unsigned size() const { return size_; }
  __device__ __forceinline__ unsigned rank() const { return threadIdx.x & (size_ - 1); }
  __device__ __forceinline__ void sync() const {
    if (size_ > kWarpThreads)
      __syncthreads();
    else
      __syncwarp(mask());
  }
  template <class U, class Combine>
  __device__ __forceinline__ U over_all(U value, Combine&& combine) const {
    if (size_ > kWarpThreads) return RowTeam().over_all(value, combine);
    value = over_lanes(mask(), size_, value, combine);
    // Of one thread, because with a NaN among them the order of two may matter.
    value = __shfl_sync(mask(), value, 0, static_cast<int>(size_));
    sync();
    return value;
  }

 private:
  // The threads within their warp, one bit each.
  __device__ __forceinline__ unsigned mask() const {
    return kWholeWarp >> (kWarpThreads - size_) << (threadIdx.x & (kWarpThreads - size_));
  }

  unsigned size_ = 1;
};

}  // namespace qsweep::kernels::N_CUDA
