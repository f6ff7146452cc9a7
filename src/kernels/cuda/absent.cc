// What stands for CUDA in builds without it: no queue can be opened, so nothing else is ever called.
#include "base/error.h"
#include "kernels/cuda/copy_stream.h"
#include "kernels/cuda/queue.h"
#include "kernels/gemm_backend.h"
#include "kernels/gpu.h"

namespace qsweep::kernels {
namespace cuda {

struct Queue::State {};
struct CopyStream::State {};

int device_count() { return 0; }

Queue::Queue(int) { fail("this program was built without CUDA; expected a build with -DQSWEEP_CUDA=ON"); }
Queue::~Queue() = default;
void* Queue::allocate(int64_t) { return nullptr; }
void Queue::free(void*) noexcept {}
void Queue::upload(void*, const void*, int64_t) {}
void Queue::download(void*, const void*, int64_t) {}
void Queue::clear(void*, int64_t) {}
int64_t Queue::free_bytes() const { return 0; }
void Queue::wait() {}
int64_t Queue::waits() const { return 0; }
void Queue::write(void*, const void*, int64_t) {}
void Queue::settle_times() {}
void Queue::forget_times() noexcept {}
void Queue::begin_time(double&) {}
void Queue::end_time() {}

CopyStream::CopyStream(Queue&, Threads) {}
CopyStream::~CopyStream() = default;
CopyStream::Mark CopyStream::mark() { return {}; }
CopyStream::Copy CopyStream::copy(void*, const void*, int64_t, const Mark&) { return {}; }
void CopyStream::join(const Copy&) {}

std::unique_ptr<GemmBackend> cublaslt_backend(Queue&) { return nullptr; }

}  // namespace cuda

std::unique_ptr<trace::DeviceClock> gpu_clock(cuda::Queue&) { return nullptr; }

}  // namespace qsweep::kernels
