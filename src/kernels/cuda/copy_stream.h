// Copies from the host's memory to a GPU's, beside what the GPU's queue computes. Pageable memory goes
// through pinned memory piece by piece, on a thread of its own.
#pragma once

#include <cstdint>
#include <memory>

#include "base/parallel.h"

namespace qsweep::kernels::cuda {

class Queue;

class CopyStream {
 public:
  // threads: that copy a piece into pinned memory.
  CopyStream(Queue& queue, Threads threads);
  ~CopyStream();
  CopyStream(const CopyStream&) = delete;
  CopyStream& operator=(const CopyStream&) = delete;

  // The place that the queue's work has reached so far, as an argument of copy().
  using Mark = std::shared_ptr<void>;
  Mark mark();

  // Begins to copy, after the queue's work up to `after` (null: at once). Both ends must stay until join().
  void copy(void* to, const void* from, int64_t bytes, const Mark& after);
  // What the queue is asked for from now on comes after the copies so far. Throws what has failed there.
  void join();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qsweep::kernels::cuda
