#include "kernels/gpu.h"

#include "kernels/cuda/queue.h"

namespace qsweep::kernels {

std::shared_ptr<cuda::Queue> open_gpu(int index) { return std::make_shared<cuda::Queue>(index); }
int64_t free_bytes(const cuda::Queue& gpu) { return gpu.free_bytes(); }
int64_t waits(const cuda::Queue& gpu) { return gpu.waits(); }

}  // namespace qsweep::kernels
