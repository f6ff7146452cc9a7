// Where kernels run.
#pragma once

#include "base/parallel.h"

namespace qsweep::kernels {

namespace cuda {
class Queue;
}

// The threads of this machine, or the queue of a GPU, in whose memory then all is that a kernel is given (but
// for the list of RowBlocks).
struct Device {
  Threads threads;
  cuda::Queue* gpu = nullptr;

  Device(Threads t, cuda::Queue* queue = nullptr) : threads(t), gpu(queue) {}  // NOLINT: Threads are a device
};

}  // namespace qsweep::kernels
