// Loops over the run's threads. OpenMP is the only thread runtime (oneDNN uses the same team).
#pragma once

#include <cstdint>
#include <exception>
#include <utility>

namespace qsweep {

struct Threads {
  int count = 1;
};

// Calls body(begin, end) for disjoint pieces that cover [0, n), one contiguous piece per thread, so that
// which thread computes what does not depend on timing. The first exception is rethrown.
template <class Body>
void parallel_for(Threads threads, int64_t n, Body&& body) {
  const int64_t pieces = n < threads.count ? n : threads.count;
  if (pieces <= 1) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
  std::exception_ptr first_error;
#pragma omp parallel for num_threads(static_cast <int>(pieces)) schedule(static, 1)
  for (int64_t piece = 0; piece < pieces; ++piece) {
    try {
      body(n * piece / pieces, n * (piece + 1) / pieces);
    } catch (...) {
#pragma omp critical(qsweep_parallel_for)
      if (!first_error) first_error = std::current_exception();
    }
  }
  if (first_error) std::rethrow_exception(first_error);
}

}  // namespace qsweep
