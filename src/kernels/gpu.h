// Opening a GPU.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/device.h"

namespace qsweep::kernels {

// The queue of GPU number `index`. Error where the program was built without CUDA, or where the machine has
// no such GPU, with the reason.
std::shared_ptr<cuda::Queue> open_gpu(int index);

// Bytes of its memory that nobody uses.
int64_t free_bytes(const cuda::Queue& gpu);

}  // namespace qsweep::kernels
