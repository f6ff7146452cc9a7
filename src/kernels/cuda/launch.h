// Launching row kernels: a block of threads per row, as many as its width is worth. Only for .cu files; each
// includes the bodies and lists its kernels by QSWEEP_LAUNCH(Name).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <cuda_runtime.h>

#include "kernels/cuda/block.h"
#include "kernels/cuda/queue.h"
#include "kernels/launcher.h"

namespace qsweep::kernels::cuda {

// A block of rows and the number of its first row among those of all blocks.
struct PlacedBlock {
  RowBlock block;
  int64_t start;
};

template <auto kEntry, class... Args>
__global__ void __launch_bounds__(kBlockThreads) row_kernel(Args... args) {
  const int64_t r = blockIdx.x;
  kEntry(r, r + 1, args...);
}

template <auto kEntry, class... Args>
__global__ void __launch_bounds__(kBlockThreads)
    block_kernel(const PlacedBlock* blocks, int64_t n, Args... args) {
  const int64_t r = blockIdx.x;
  int64_t low = 0, high = n;  // the block of row r is in [low, high)
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (blocks[middle].start <= r ? low : high) = middle;
  }
  kEntry(blocks[low].block, r - blocks[low].start, 1, args...);
}

// The elements of a row of the widest view among a kernel's arguments; where there is none, many.
template <class Arg>
int64_t width_of(const Arg& arg) {
  if constexpr (requires { arg.cols; })
    return arg.cols;
  else
    return 0;
}
template <class... Args>
int64_t row_width(const Args&... args) {
  const int64_t widest = std::max({int64_t{0}, width_of(args)...});
  return widest > 0 ? widest : INT64_MAX;
}

template <class... Params, class... Args>
void launch(Queue& queue, const char* name, int64_t rows, unsigned threads, int64_t scratch_bytes,
            void (*kernel)(Params...), Args... args) {
  if (rows == 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(std::min<int64_t>(rows, UINT32_MAX)));  // too many: an error
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = static_cast<size_t>(scratch_bytes);
  config.stream = queue.stream();
  Queue::check_launch(cudaLaunchKernelEx(&config, kernel, args...), name);
}

template <auto kEntry, class... Args>
void launch_rows(Queue& queue, const char* name, int64_t rows, int64_t scratch_bytes, Args... args) {
  launch(queue, name, rows, row_threads(row_width(args...)), scratch_bytes, &row_kernel<kEntry, Args...>,
         args...);
}

// In runs of as many blocks as the queue stages at once.
template <auto kEntry, class... Args>
void launch_blocks(Queue& queue, const char* name, std::span<const RowBlock> blocks, Args... args) {
  constexpr size_t most = Queue::kStageBytes / sizeof(PlacedBlock);
  for (size_t first = 0; first < blocks.size(); first += most) {
    std::vector<PlacedBlock> placed;
    int64_t rows = 0;
    for (const RowBlock& block : blocks.subspan(first, std::min(most, blocks.size() - first))) {
      placed.push_back({block, rows});
      rows += block.rows;
    }
    const auto n = static_cast<int64_t>(placed.size());
    const void* staged = queue.stage(placed.data(), n * int64_t{sizeof(PlacedBlock)});
    launch(queue, name, rows, row_threads(row_width(args...)), 0, &block_kernel<kEntry, Args...>,
           static_cast<const PlacedBlock*>(staged), n, args...);
  }
}

// The launcher of an entry, by the kind of its arguments.
template <auto kEntry, class... Args>
constexpr auto launcher_of(void (*)(int64_t, int64_t, Args...)) {
  return &launch_rows<kEntry, Args...>;
}
template <auto kEntry, class... Args>
constexpr auto launcher_of(void (*)(const RowBlock&, int64_t, int64_t, Args...)) {
  return &launch_blocks<kEntry, Args...>;
}

}  // namespace qsweep::kernels::cuda

// Defines cuda::Name, the launcher of the entry N_CUDA::Name.
#define QSWEEP_LAUNCH(Name)                                                                        \
  namespace qsweep::kernels::cuda {                                                                \
  extern Launcher<decltype(N_CUDA::Name)>* const Name = launcher_of<&N_CUDA::Name>(&N_CUDA::Name); \
  }                                                                                                \
  static_assert(true)
