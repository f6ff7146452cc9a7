// The time of a GPU, by events on its queue.
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/queue.h"
#include "kernels/gpu.h"

namespace qsweep::kernels {
namespace {

// Where the GPU fails, times are lost; what it was to compute reports the failure.
class GpuClock final : public trace::DeviceClock {
 public:
  explicit GpuClock(cuda::Queue& queue) : queue_(queue) {}
  ~GpuClock() override {
    for (const cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  GpuClock(const GpuClock&) = delete;
  GpuClock& operator=(const GpuClock&) = delete;

  size_t mark() noexcept override try {
    const cudaStream_t stream = queue_.stream();
    if (free_.empty()) {
      cudaEvent_t event = nullptr;
      cuda::check(cudaEventCreate(&event), "creating an event");
      free_.push_back(events_.size());
      events_.push_back(event);
    }
    const size_t mark = free_.back();
    cuda::check(cudaEventRecord(events_[mark], stream), "recording an event");
    free_.pop_back();
    return mark;
  } catch (...) {
    return kNone;
  }

  double seconds(size_t from, size_t to) noexcept override {
    float milliseconds = 0;
    const bool known = from != kNone && to != kNone && cudaEventSynchronize(events_[to]) == cudaSuccess &&
                       cudaEventElapsedTime(&milliseconds, events_[from], events_[to]) == cudaSuccess;
    for (const size_t mark : {from, to})
      if (mark != kNone) free_.push_back(mark);
    return known ? 1e-3 * static_cast<double>(milliseconds) : 0;
  }

 private:
  static constexpr size_t kNone = SIZE_MAX;

  cuda::Queue& queue_;
  std::vector<cudaEvent_t> events_;
  std::vector<size_t> free_;
};

}  // namespace

std::unique_ptr<trace::DeviceClock> gpu_clock(cuda::Queue& gpu) { return std::make_unique<GpuClock>(gpu); }

}  // namespace qsweep::kernels
