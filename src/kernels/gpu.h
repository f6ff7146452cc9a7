// Opening a GPU.
#pragma once

#include <cstdint>
#include <memory>

#include "base/trace.h"
#include "kernels/device.h"

namespace qsweep::kernels {

// The queue of GPU number `index`. Error where the program was built without CUDA, or where the machine has
// no such GPU, with the reason.
std::shared_ptr<cuda::Queue> open_gpu(int index);

// By which spans can be timed (trace::Recorder::use_clock).
std::unique_ptr<trace::DeviceClock> gpu_clock(cuda::Queue& gpu);

// Bytes of its memory that nobody uses.
int64_t free_bytes(const cuda::Queue& gpu);

// How often the host has waited until it had done all that it was asked for.
int64_t waits(const cuda::Queue& gpu);

}  // namespace qsweep::kernels
