#include "kernels/buffer.h"

#include "base/checked.h"
#ifdef QSWEEP_CUDA
#include "kernels/cuda/queue.h"
#endif

namespace qsweep::kernels {

Buffer::Buffer(Device device, DType dtype, int64_t rows, int64_t cols)
    : gpu_(device.gpu), view_{nullptr, dtype, rows, cols, cols} {
#ifdef QSWEEP_CUDA
  if (gpu_ != nullptr) {
    const int64_t bytes = checked_mul(checked_mul(rows, cols), size_bytes(dtype));
    if (bytes > 0) view_.data = gpu_->allocate(bytes);
    return;
  }
#endif
  on_cpu_ = Tensor(dtype, {rows, cols});
  view_.data = on_cpu_.bytes();
}

Buffer::~Buffer() {
#ifdef QSWEEP_CUDA
  if (gpu_ != nullptr && view_.data != nullptr) gpu_->free(view_.data);
#endif
}

}  // namespace qsweep::kernels
