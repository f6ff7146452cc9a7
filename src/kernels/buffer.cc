#include "kernels/buffer.h"

#include <cstring>

#include "base/checked.h"
#ifdef QSWEEP_CUDA
#include "kernels/cuda/copy_stream.h"
#include "kernels/cuda/queue.h"
#endif

namespace qsweep::kernels {

#ifdef QSWEEP_CUDA
namespace {

void* allocate(cuda::Queue& queue, const DeltaView& m) {
  const int64_t bytes = checked_mul(checked_mul(m.rows, m.stride), m.element_bytes());
  return bytes == 0 ? nullptr : queue.allocate(bytes);
}

}  // namespace

Buffer::Buffer(Device device, DType dtype, int64_t rows, int64_t cols, int64_t stride)
    : gpu_(device.gpu), view_{nullptr, dtype, rows, cols, stride} {
  if (gpu_ != nullptr) {
    view_.data = allocate(*gpu_, view_);
  } else {
    on_cpu_ = Tensor(dtype, {rows, stride});
    view_.data = on_cpu_.bytes();
  }
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

#else

BackgroundCopies::BackgroundCopies(Device) {}
BackgroundCopies::Mark BackgroundCopies::mark() { return {}; }
BackgroundCopies::Copy BackgroundCopies::copy(void*, const void*, int64_t, const Mark&) { return {}; }
void BackgroundCopies::join(const Copy&) {}

Buffer::Buffer(Device, DType dtype, int64_t rows, int64_t cols, int64_t stride)
    : on_cpu_(dtype, {rows, stride}), view_{on_cpu_.bytes(), dtype, rows, cols, stride} {}

Buffer::~Buffer() = default;

void copy_to_device(Device, void* to, const void* from, int64_t bytes) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

void wait(Device) {}

void clear(Device, void* data, int64_t bytes) { std::memset(data, 0, static_cast<size_t>(bytes)); }

void copy_to_host(Device, void* to, const void* from, int64_t bytes) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

#endif

}  // namespace qsweep::kernels
