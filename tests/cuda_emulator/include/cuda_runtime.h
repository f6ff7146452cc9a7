// What our CUDA sources use of CUDA, for a machine without a GPU: the same sources, compiled by the C++
// compiler, run on the CPU. Blocks run one after another, the threads of a block in turns, each as far as the
// barriers let it, in an order that changes, so that a missing barrier shows. Device memory can only be
// touched by kernels and copies, which are done when something waits for them.
#pragma once

#include <cstdint>
#include <cstring>
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
extern thread_local dim3 blockDim;

// Barriers: of the block, and of the lanes of a warp that are in the mask.
void __syncthreads();
void __syncwarp(unsigned mask);

namespace cuda_emulator {
cudaError_t launch(const cudaLaunchConfig_t& config, std::function<void()> kernel);

unsigned this_lane();
// Every lane in the mask shows a value and gets that of `lane`.
uint64_t exchange(unsigned mask, uint64_t value, unsigned lane);
template <class T>
T exchange(unsigned mask, T value, unsigned lane) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = exchange(mask, bits, lane);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
}  // namespace cuda_emulator

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return cuda_emulator::exchange(mask, value, cuda_emulator::this_lane() ^ static_cast<unsigned>(lanes));
}
// lane: of `width` neighbours.
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width) {
  const auto n = static_cast<unsigned>(width);
  return cuda_emulator::exchange(mask, value,
                                 cuda_emulator::this_lane() / n * n + static_cast<unsigned>(lane));
}

template <class... Params, class... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...), Args&&... args) {
  return cuda_emulator::launch(*config, [=] { kernel(args...); });
}
