// What runs a kernel's entry on a GPU, as a function of the queue, the rows and the entry's own arguments.
#pragma once

#include <span>

#include "kernels/rows.h"

namespace qsweep::kernels {

template <class Entry>
struct LauncherOf;
template <class... Args>
struct LauncherOf<void(int64_t, int64_t, Args...)> {
  using type = void(cuda::Queue& queue, const char* name, int64_t rows, int64_t scratch_bytes, Args... args);
};
template <class... Args>
struct LauncherOf<void(const RowBlock&, int64_t, int64_t, Args...)> {
  using type = void(cuda::Queue& queue, const char* name, std::span<const RowBlock> blocks, Args... args);
};
template <class Entry>
using Launcher = typename LauncherOf<Entry>::type;

}  // namespace qsweep::kernels
