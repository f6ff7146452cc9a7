#include "kernels/buffer.h"

#include <cstring>

#include "base/checked.h"
#include "kernels/cuda/copy_stream.h"
#include "kernels/cuda/queue.h"

namespace qsweep::kernels {

Buffer::Buffer(Device device, DType dtype, int64_t rows, int64_t cols, int64_t stride)
    : gpu_(device.gpu), view_{nullptr, dtype, rows, cols, stride} {
  if (gpu_ == nullptr) {
    on_cpu_ = Tensor(dtype, {rows, stride});
    view_.data = on_cpu_.bytes();
    return;
  }
  const int64_t bytes = checked_mul(checked_mul(rows, stride), view_.element_bytes());
  if (bytes > 0) view_.data = gpu_->allocate(bytes);
}

Buffer::~Buffer() {
  if (gpu_ != nullptr && view_.data != nullptr) gpu_->free(view_.data);
}

void copy_to_device(Device device, void* to, const void* from, int64_t bytes) {
  if (device.gpu == nullptr) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  } else {
    device.gpu->write(to, from, bytes);
  }
}

void wait(Device device) {
  if (device.gpu != nullptr) device.gpu->wait();
}

void clear(Device device, void* data, int64_t bytes) {
  if (device.gpu == nullptr) {
    std::memset(data, 0, static_cast<size_t>(bytes));
  } else {
    device.gpu->clear(data, bytes);
  }
}

void copy_to_host(Device device, void* to, const void* from, int64_t bytes) {
  if (device.gpu == nullptr) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  } else {
    device.gpu->download(to, from, bytes);
    device.gpu->wait();
  }
}

BackgroundCopies::BackgroundCopies(Device gpu)
    : stream_(std::make_shared<cuda::CopyStream>(*gpu.gpu, gpu.threads)) {}
BackgroundCopies::Mark BackgroundCopies::mark() { return stream_->mark(); }
BackgroundCopies::Copy BackgroundCopies::copy(void* to, const void* from, int64_t bytes, const Mark& after) {
  return stream_->copy(to, from, bytes, after);
}
void BackgroundCopies::join(const Copy& copy) { stream_->join(copy); }

}  // namespace qsweep::kernels
