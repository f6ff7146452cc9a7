// Running a row kernel on a device: rows split over the threads and the instruction set chosen by Highway, or
// a block of threads per row on a GPU.
//
// A kernel's entry is `void Name(int64_t begin, int64_t end, args...)` for rows [begin, end), or `void
// Name(const RowBlock& block, int64_t first, int64_t count, args...)` for rows [first, first + count) of one
// block; args are views and numbers. `QSWEEP_EXPORT(Name)` makes it known to `QSWEEP_KERNEL_OF(Name)`.
#pragma once

#include <algorithm>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/launcher.h"

namespace qsweep::kernels {

template <class Entry>
struct Kernel {
  const char* name;
  Entry* on_cpu;
  Launcher<Entry>* on_gpu;
};

#ifdef QSWEEP_CUDA
#define QSWEEP_EXPORT(Name)                                         \
  HWY_EXPORT(Name);                                                 \
  namespace cuda {                                                  \
  extern Launcher<decltype(HWY_STATIC_DISPATCH(Name))>* const Name; \
  }                                                                 \
  static_assert(true)
#define QSWEEP_KERNEL_OF(Name) \
  Kernel<decltype(HWY_STATIC_DISPATCH(Name))> { #Name, &HWY_DYNAMIC_DISPATCH(Name), cuda::Name }
#else
#define QSWEEP_EXPORT(Name) HWY_EXPORT(Name)
#define QSWEEP_KERNEL_OF(Name) \
  Kernel<decltype(HWY_STATIC_DISPATCH(Name))> { #Name, &HWY_DYNAMIC_DISPATCH(Name), nullptr }
#endif

// scratch_bytes: what the kernel's Scratch takes on a GPU.
template <class... Args>
void run_rows_with_scratch(Device device, int64_t rows, int64_t scratch_bytes,
                           Kernel<void(int64_t, int64_t, Args...)> kernel,
                           std::type_identity_t<Args>... args) {
  if (device.gpu != nullptr) return kernel.on_gpu(*device.gpu, kernel.name, rows, scratch_bytes, args...);
  parallel_for(device.threads, rows, [&](int64_t begin, int64_t end) { kernel.on_cpu(begin, end, args...); });
}

template <class... Args>
void run_rows(Device device, int64_t rows, Kernel<void(int64_t, int64_t, Args...)> kernel,
              std::type_identity_t<Args>... args) {
  run_rows_with_scratch(device, rows, 0, kernel, args...);
}

// All blocks' rows are cut into one equal piece per thread, whatever the blocks' sizes.
template <class... Args>
void run_blocks(Device device, std::span<const RowBlock> blocks,
                Kernel<void(const RowBlock&, int64_t, int64_t, Args...)> kernel,
                std::type_identity_t<Args>... args) {
  if (device.gpu != nullptr) return kernel.on_gpu(*device.gpu, kernel.name, blocks, args...);
  std::vector<int64_t> start(blocks.size() + 1, 0);
  for (size_t b = 0; b < blocks.size(); ++b) start[b + 1] = start[b] + blocks[b].rows;
  parallel_for(device.threads, start.back(), [&](int64_t begin, int64_t end) {
    auto b = static_cast<size_t>(std::upper_bound(start.begin(), start.end(), begin) - start.begin()) - 1;
    for (; b < blocks.size() && start[b] < end; ++b) {
      const int64_t first = std::max(begin, start[b]) - start[b];
      const int64_t last = std::min(end, start[b + 1]) - start[b];
      if (first < last) kernel.on_cpu(blocks[b], first, last - first, args...);
    }
  });
}

}  // namespace qsweep::kernels
