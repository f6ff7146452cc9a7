// Launching row kernels: a block of threads per row. Only for .cu files, after the bodies; each lists its
// kernels by QSWEEP_LAUNCH(Name).
#pragma once

#include <array>
#include <vector>

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

template <class... Params, class... Args>
void launch(Queue& queue, const char* name, int64_t rows, int64_t scratch_bytes, void (*kernel)(Params...),
            Args... args) {
  if (rows == 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(rows));
  config.blockDim = dim3(kBlockThreads);
  config.dynamicSmemBytes = static_cast<size_t>(scratch_bytes);
  config.stream = queue.stream();
  Queue::check_launch(cudaLaunchKernelEx(&config, kernel, args...), name);
}

// The launcher of an entry, by the kind of its arguments.
template <auto kEntry, class Name, class Entry>
struct Launch;
template <auto kEntry, class Name, class... Args>
struct Launch<kEntry, Name, void(int64_t, int64_t, Args...)> {
  static void run(Queue& queue, int64_t rows, int64_t scratch_bytes, Args... args) {
    launch(queue, Name::text, rows, scratch_bytes, &row_kernel<kEntry, Args...>, args...);
  }
};
template <auto kEntry, class Name, class... Args>
struct Launch<kEntry, Name, void(const RowBlock&, int64_t, int64_t, Args...)> {
  static void run(Queue& queue, std::span<const RowBlock> blocks, Args... args) {
    constexpr size_t kMost = Queue::kStageBytes / sizeof(PlacedBlock);
    while (!blocks.empty()) {
      const auto some = blocks.first(std::min(blocks.size(), kMost));
      std::vector<PlacedBlock> placed;
      int64_t rows = 0;
      for (const RowBlock& block : some) {
        if (block.rows == 0) continue;
        placed.push_back({block, rows});
        rows += block.rows;
      }
      const auto n = static_cast<int64_t>(placed.size());
      const void* on_gpu = queue.stage(placed.data(), n * int64_t{sizeof(PlacedBlock)});
      launch(queue, Name::text, rows, 0, &block_kernel<kEntry, Args...>,
             static_cast<const PlacedBlock*>(on_gpu), n, args...);
      blocks = blocks.subspan(some.size());
    }
  }
};

}  // namespace qsweep::kernels::cuda

// Defines cuda::Name, the launcher of the entry N_CUDA::Name.
#define QSWEEP_LAUNCH(Name)                                            \
  namespace qsweep::kernels::cuda {                                    \
  struct Name##Text {                                                  \
    static constexpr const char* text = #Name;                         \
  };                                                                   \
  extern Launcher<decltype(N_CUDA::Name)>* const Name;                 \
  Launcher<decltype(N_CUDA::Name)>* const Name =                       \
      &Launch<&N_CUDA::Name, Name##Text, decltype(N_CUDA::Name)>::run; \
  }                                                                    \
  static_assert(true)
