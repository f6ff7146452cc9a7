// What is asked for on a stream is done, in order, when the host waits.
#pragma once

#include <functional>

#include <cuda_runtime_api.h>

namespace cuda_emulator {

// `work` may touch memory of the stream's device.
void enqueue(cudaStream_t stream, std::function<void()> work);

// Of the calling thread, as cudaSetDevice has chosen it.
int current_device();
int device_of(cudaStream_t stream);

}  // namespace cuda_emulator
