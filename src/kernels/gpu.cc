#include "kernels/gpu.h"

#include "base/error.h"
#ifdef QSWEEP_CUDA
#include "kernels/cuda/queue.h"
#endif

namespace qsweep::kernels {

#ifdef QSWEEP_CUDA

std::shared_ptr<cuda::Queue> open_gpu(int index) { return std::make_shared<cuda::Queue>(index); }
int64_t free_bytes(const cuda::Queue& gpu) { return gpu.free_bytes(); }

#else

std::shared_ptr<cuda::Queue> open_gpu(int) {
  fail("this program was built without CUDA; expected a build with -DQSWEEP_CUDA=ON");
}
int64_t free_bytes(const cuda::Queue&) { return 0; }

#endif

}  // namespace qsweep::kernels
