// What is asked for on a stream is done, in order, when the host waits.
#pragma once

#include <functional>

#include <cuda_runtime_api.h>

namespace cuda_emulator {

// `work` may touch device memory.
void enqueue(cudaStream_t stream, std::function<void()> work);

}  // namespace cuda_emulator
