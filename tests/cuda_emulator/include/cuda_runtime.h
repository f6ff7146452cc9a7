// What our CUDA sources use of CUDA, for a machine without a GPU: the same sources, compiled by the C++
// compiler, run on the CPU. Blocks run one after another, the threads of a block in turns from barrier to
// barrier, in an order that changes, so that a missing barrier shows. Device memory can only be touched by
// kernels and copies, which are done when something waits for them.
#pragma once

#include <functional>
#include <utility>

#include <cuda_runtime_api.h>

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(threads)
// Of one thread of the host, which runs all threads of a block.
#define __shared__ thread_local

extern thread_local uint3 threadIdx, blockIdx;

// Runs the other threads up to their barriers.
void __syncthreads();

namespace cuda_emulator {
cudaError_t launch(const cudaLaunchConfig_t& config, std::function<void()> kernel);
}

template <class... Params, class... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...), Args&&... args) {
  return cuda_emulator::launch(*config, [=] { kernel(args...); });
}
