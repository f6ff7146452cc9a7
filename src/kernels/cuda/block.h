// How many threads of a GPU work on one row: those of a block.
#pragma once

#include <cstdint>

namespace qsweep::kernels {

#ifdef QSWEEP_CUDA_EMULATED
inline constexpr unsigned kWarpThreads = 4, kBlockThreads = 8;
#else
inline constexpr unsigned kWarpThreads = 32, kBlockThreads = 256;
#endif
inline constexpr unsigned kWholeWarp = ~0u >> (32 - kWarpThreads);  // as a mask of its lanes

// As many as have something to do twice in a row of `width` elements, of which a thread takes some at once
// (pack.h).
constexpr unsigned row_threads(int64_t width) {
  constexpr int64_t thread_elems = 8;
  unsigned threads = kWarpThreads;
  while (threads < kBlockThreads && threads * thread_elems < width) threads *= 2;
  return threads;
}

}  // namespace qsweep::kernels
