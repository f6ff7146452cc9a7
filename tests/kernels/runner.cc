#include "kernels/runner.h"

#include "kernels/cuda/queue.h"

namespace qsweep::kernels {

struct Runner::Gpu {
  struct Copy {
    void *host, *gpu;
    int64_t bytes;
    bool written;
  };
  cuda::Queue queue;
  std::vector<Copy> copies;
};

int Runner::gpus() { return cuda::device_count(); }
void Runner::use_gpu() { gpu_ = std::make_unique<Gpu>(); }
cuda::Queue* Runner::queue() const { return gpu_ ? &gpu_->queue : nullptr; }

// Data given twice, as input and as output of work in place, has one copy.
void* Runner::place(void* host, int64_t bytes, bool written) {
  if (!gpu_ || bytes == 0) return host;
  for (Gpu::Copy& copy : gpu_->copies) {
    if (copy.host != host || copy.bytes != bytes) continue;
    copy.written |= written;
    return copy.gpu;
  }
  void* const on_gpu = gpu_->queue.allocate(bytes);
  gpu_->queue.upload(on_gpu, host, bytes);
  gpu_->copies.push_back({host, on_gpu, bytes, written});
  return on_gpu;
}

void Runner::finish() {
  if (!gpu_) return;
  for (const Gpu::Copy& copy : gpu_->copies) {
    if (copy.written) gpu_->queue.download(copy.host, copy.gpu, copy.bytes);
    gpu_->queue.free(copy.gpu);
  }
  gpu_->queue.wait();
  gpu_->copies.clear();
}

Runner::Runner() = default;
Runner::~Runner() = default;

}  // namespace qsweep::kernels
