#include "kernels/cuda/queue.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "kernels/cuda/check.h"

namespace qsweep::kernels::cuda {
namespace {

constexpr int kSegments = 4;
constexpr int64_t kAlignment = 256;

int64_t mebibytes(int64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; }

}  // namespace

// The ring of staging memory has a host and a GPU side, cut into segments; a segment's event comes when the
// copies out of its host side are done.
struct Queue::State {
  int device = 0;
  cudaStream_t stream = nullptr;
  cudaMemPool_t pool = nullptr;
  std::byte *host = nullptr, *gpu = nullptr;
  std::array<cudaEvent_t, kSegments> copied{};
  int segment = 0;
  int64_t used = 0;  // bytes of the segment
  int64_t waits = 0;

  struct Timing {
    cudaEvent_t begin = nullptr, end = nullptr;
    double* seconds = nullptr;
  };
  std::vector<Timing> timings, spare;  // not settled yet, and events to use again

  ~State() {
    // What fails here has failed before, and was reported.
    if (stream != nullptr) cudaStreamSynchronize(stream);
    for (cudaEvent_t event : copied)
      if (event != nullptr) cudaEventDestroy(event);
    for (const auto& list : {timings, spare})
      for (const Timing& timing : list) {
        cudaEventDestroy(timing.begin);
        cudaEventDestroy(timing.end);
      }
    if (gpu != nullptr) cudaFreeAsync(gpu, stream);
    if (host != nullptr) cudaFreeHost(host);
    if (stream != nullptr) cudaStreamDestroy(stream);
    if (pool != nullptr) cudaMemPoolDestroy(pool);
  }

  void open() {
    check(cudaSetDevice(device), "choosing the GPU");
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location = {.type = cudaMemLocationTypeDevice, .id = device};
    check(cudaMemPoolCreate(&pool, &properties), "creating a pool of memory");
    uint64_t keep = UINT64_MAX;  // freed memory stays in the pool
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "keeping freed memory");
    for (cudaEvent_t& event : copied)
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
  }

  int64_t held_bytes() const {
    uint64_t bytes = 0;
    check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &bytes), "asking for the pool's size");
    return static_cast<int64_t>(bytes);
  }

  // The stream; its GPU becomes the calling thread's, which events and launches must belong to.
  cudaStream_t here() const {
    check(cudaSetDevice(device), "choosing the GPU");
    return stream;
  }

  void next_segment() {
    check(cudaEventRecord(copied[static_cast<size_t>(segment)], here()), "recording an event");
    segment = (segment + 1) % kSegments;
    used = 0;
    // At once where the event was never recorded.
    check(cudaEventSynchronize(copied[static_cast<size_t>(segment)]), "waiting for staging memory");
  }

  // Puts data in the ring's host side, and says where.
  int64_t place(const void* from, int64_t bytes) {
    QSWEEP_CHECK(bytes <= kStageBytes, "{} bytes for the staging memory", bytes);
    if (used + bytes > kStageBytes) next_segment();
    const int64_t offset = segment * kStageBytes + used;
    std::memcpy(host + offset, from, static_cast<size_t>(bytes));
    used += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return offset;
  }
};

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

Queue::Queue(int device) : state_(std::make_unique<State>()) {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found != cudaSuccess) {
    cudaGetLastError();
    fail("no NVIDIA GPU can be used: {}", cudaGetErrorString(found));
  }
  if (device < 0 || device >= count) fail("there is no GPU {}: this machine has {}", device, count);
  state_->device = device;
  state_->open();
  void* host = nullptr;
  check(cudaMallocHost(&host, kSegments * kStageBytes), "allocating staging memory");
  state_->host = static_cast<std::byte*>(host);
  state_->gpu = static_cast<std::byte*>(allocate(kSegments * kStageBytes));
}

Queue::~Queue() = default;

void* Queue::allocate(int64_t bytes) {
  void* block = nullptr;
  const auto allocated = [&] {
    const cudaError_t code =
        cudaMallocFromPoolAsync(&block, static_cast<size_t>(bytes), state_->pool, state_->stream);
    if (code == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return false;
    }
    check(code, "allocating memory");
    return true;
  };
  if (allocated()) return block;
  // What is still to be freed, and what is free but in pieces that are too small.
  wait();
  check(cudaMemPoolTrimTo(state_->pool, 0), "giving memory back");
  if (allocated()) return block;
  throw OutOfMemory(fmt::format("GPU {} has no {} MiB left: this run holds {} MiB there, and {} MiB are free",
                                state_->device, mebibytes(bytes), mebibytes(state_->held_bytes()),
                                mebibytes(free_bytes())));
}

// What fails here has failed before, and was reported.
void Queue::free(void* block) noexcept { cudaFreeAsync(block, state_->stream); }

void Queue::upload(void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, state_->stream),
        "copying to the GPU");
}

void Queue::download(void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, state_->stream),
        "copying from the GPU");
}

void Queue::clear(void* data, int64_t bytes) {
  check(cudaMemsetAsync(data, 0, static_cast<size_t>(bytes), state_->here()), "clearing memory");
}

int64_t Queue::free_bytes() const {
  size_t free = 0, total = 0;
  check(cudaSetDevice(state_->device), "choosing the GPU");
  check(cudaMemGetInfo(&free, &total), "asking for free memory");
  return static_cast<int64_t>(free);
}

void Queue::wait() {
  ++state_->waits;
  check(cudaStreamSynchronize(state_->stream), "waiting for the GPU");
}

int64_t Queue::waits() const { return state_->waits; }

void Queue::write(void* to, const void* from, int64_t bytes) {
  for (int64_t done = 0; done < bytes; done += kStageBytes) {
    const int64_t piece = std::min(kStageBytes, bytes - done);
    const int64_t place = state_->place(static_cast<const std::byte*>(from) + done, piece);
    upload(static_cast<std::byte*>(to) + done, state_->host + place, piece);
  }
}

const void* Queue::stage(const void* from, int64_t bytes) {
  const int64_t place = state_->place(from, bytes);
  upload(state_->gpu + place, state_->host + place, bytes);
  return state_->gpu + place;
}

void Queue::begin_time(double& seconds) {
  constexpr size_t kMostTimings = 8192;
  if (state_->timings.size() >= kMostTimings) settle_times();
  State::Timing timing;
  cudaStream_t const stream = state_->here();
  if (state_->spare.empty()) {
    check(cudaEventCreate(&timing.begin), "creating an event");
    check(cudaEventCreate(&timing.end), "creating an event");
  } else {
    timing = state_->spare.back();
    state_->spare.pop_back();
  }
  timing.seconds = &seconds;
  check(cudaEventRecord(timing.begin, stream), "recording an event");
  state_->timings.push_back(timing);
}

void Queue::end_time() {
  check(cudaEventRecord(state_->timings.back().end, state_->here()), "recording an event");
}

void Queue::settle_times() {
  for (const State::Timing& timing : state_->timings) {
    float milliseconds = 0;
    check(cudaEventSynchronize(timing.end), "waiting for the GPU");
    check(cudaEventElapsedTime(&milliseconds, timing.begin, timing.end), "measuring time");
    *timing.seconds += 1e-3 * static_cast<double>(milliseconds);
    state_->spare.push_back(timing);
  }
  state_->timings.clear();
}

void Queue::forget_times() noexcept {
  state_->spare.insert(state_->spare.end(), state_->timings.begin(), state_->timings.end());
  state_->timings.clear();
}

CUstream_st* Queue::stream() const { return state_->here(); }

void Queue::check_launch(int code, const char* kernel) {
  if (code != cudaSuccess) check(static_cast<cudaError_t>(code), fmt::format("launching {}", kernel).c_str());
}

}  // namespace qsweep::kernels::cuda
