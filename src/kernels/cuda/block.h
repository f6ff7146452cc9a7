// How many threads work on one row.
#pragma once

namespace qsweep::kernels {

#ifdef QSWEEP_CUDA_EMULATED
inline constexpr unsigned kBlockThreads = 8;
#else
inline constexpr unsigned kBlockThreads = 256;
#endif

}  // namespace qsweep::kernels
