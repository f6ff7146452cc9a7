// Copies from the host's memory to a GPU's, beside what the GPU's queue computes. Pageable memory goes
// through pinned memory piece by piece, on a thread of its own.
#pragma once

#include <cstdint>
#include <memory>

#include "base/parallel.h"
#include "kernels/buffer.h"

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
  using Mark = BackgroundCopies::Mark;
  Mark mark();

  using Copy = BackgroundCopies::Copy;

  // Begins to copy, after the queue's work up to `after` (null: at once) and all copies before. Both ends
  // must stay until it is joined.
  Copy copy(void* to, const void* from, int64_t bytes, const Mark& after);
  // What the queue is asked for from now on comes after this copy. Throws what has failed in the background.
  void join(const Copy& copy);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qsweep::kernels::cuda
