#include "kernels/gpu.h"

#include "base/error.h"
#ifdef QSWEEP_CUDA
#include "kernels/cuda/queue.h"
#endif

namespace qsweep::kernels {

#ifdef QSWEEP_CUDA

std::shared_ptr<cuda::Queue> open_gpu(int index) { return std::make_shared<cuda::Queue>(index); }
int64_t free_bytes(const cuda::Queue& gpu) { return gpu.free_bytes(); }
int64_t waits(const cuda::Queue& gpu) { return gpu.waits(); }

#else

std::shared_ptr<cuda::Queue> open_gpu(int) {
  fail("this program was built without CUDA; expected a build with -DQSWEEP_CUDA=ON");
}
int64_t free_bytes(const cuda::Queue&) { return 0; }
int64_t waits(const cuda::Queue&) { return 0; }
std::unique_ptr<trace::DeviceClock> gpu_clock(cuda::Queue&) { return nullptr; }

#endif

}  // namespace qsweep::kernels
