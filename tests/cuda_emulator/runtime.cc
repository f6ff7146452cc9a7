// Streams, events and memory. A stream is a list of what is still to be done; it is done when the host waits.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include <cuda_runtime.h>
#include <sys/mman.h>

#include "cuda_emulator/fibres.h"
#include "cuda_emulator/stream.h"

constexpr size_t kSharedBytes = size_t{48} << 10;
constexpr size_t kDeviceBytes = size_t{8} << 30;
constexpr int kDevices = 2;
constexpr size_t kPageBytes = 4096, kAlignment = 16;
constexpr unsigned char kUnwritten = 0xff;  // a NaN in every float format

// The kernels' scratch memory (kernels/cuda/lanes_cuda.h).
thread_local double qsweep_scratch[kSharedBytes / sizeof(double)];

thread_local int qsweep_device = 0;

struct CUstream_st {
  int device = qsweep_device;
  std::deque<std::function<void()>> work;
  uint64_t done = 0;
};
// Where on a stream an event was recorded last, and when that was reached.
struct Recorded {
  cudaStream_t stream = nullptr;
  uint64_t place = 0;
  std::chrono::steady_clock::time_point reached;
};
struct CUevent_st {
  int device = qsweep_device;
  std::shared_ptr<Recorded> last = std::make_shared<Recorded>();
};
struct CUmemPoolHandle_st {
  int device;
};

namespace cuda_emulator {
namespace {

struct Pages {
  size_t bytes;
  int device;
};
// Blocks of device memory, by the address of their first page. Each ends, but for alignment, at a page that
// is never accessible.
std::map<std::byte*, Pages>& blocks() {
  static std::map<std::byte*, Pages> all;
  return all;
}

// One call at a time, of all threads.
std::recursive_mutex& calls() {
  static std::recursive_mutex mutex;
  return mutex;
}

// While one lives, memory of that device is accessible.
class OnDevice {
 public:
  explicit OnDevice(int device) : device_(device) {
    if (depth[device_]++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  ~OnDevice() {
    if (--depth[device_] == 0) protect(PROT_NONE);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  void protect(int access) const {
    for (const auto& [first, pages] : blocks())
      if (pages.device == device_ && mprotect(first, pages.bytes, access) != 0) std::abort();
  }
  int device_;
  static inline int depth[kDevices] = {};
};

void run_until(CUstream_st& stream, uint64_t place) {
  const std::lock_guard lock(calls());
  if (stream.done >= place) return;
  const OnDevice on_device(stream.device);
  while (stream.done < place) {
    const std::function<void()> next = std::move(stream.work.front());
    stream.work.pop_front();
    next();
    ++stream.done;
  }
}

uint64_t end_of(const CUstream_st& stream) {
  const std::lock_guard lock(calls());
  return stream.done + stream.work.size();
}

size_t held_bytes(int device) {
  const std::lock_guard lock(calls());
  size_t held = 0;
  for (const auto& [first, pages] : blocks()) held += pages.device == device ? pages.bytes : 0;
  return held;
}

void release(void* block) {
  const auto it = std::prev(blocks().upper_bound(static_cast<std::byte*>(block)));
  munmap(it->first, it->second.bytes + kPageBytes);
  blocks().erase(it);
}

}  // namespace

void enqueue(cudaStream_t stream, std::function<void()> work) {
  const std::lock_guard lock(calls());
  stream->work.push_back(std::move(work));
}

int current_device() { return qsweep_device; }
int device_of(cudaStream_t stream) { return stream->device; }

cudaError_t launch(const cudaLaunchConfig_t& config, std::function<void()> kernel) {
  if (config.stream->device != qsweep_device) return cudaErrorInvalidResourceHandle;
  if (config.gridDim.x == 0 || config.gridDim.x > INT32_MAX || config.blockDim.x == 0)
    return cudaErrorInvalidConfiguration;
  if (config.dynamicSmemBytes > kSharedBytes) return cudaErrorInvalidValue;
  enqueue(config.stream, [config, kernel = std::move(kernel)] {
    for (blockIdx.x = 0; blockIdx.x < config.gridDim.x; ++blockIdx.x) {
      std::memset(qsweep_scratch, kUnwritten, config.dynamicSmemBytes);
      run_block(config.blockDim.x, kernel);
    }
  });
  return cudaSuccess;
}

}  // namespace cuda_emulator

using cuda_emulator::blocks, cuda_emulator::end_of, cuda_emulator::enqueue, cuda_emulator::run_until;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return cudaErrorInvalidDevice;
  qsweep_device = device;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = kDeviceBytes;
  *free = kDeviceBytes - cuda_emulator::held_bytes(qsweep_device);
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
  }
  return "unrecognized error code";
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  run_until(*stream, end_of(*stream));
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  cudaStreamSynchronize(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(cuda_emulator::calls());
  if (event->device != stream->device) return cudaErrorInvalidResourceHandle;
  event->last = std::make_shared<Recorded>();
  enqueue(stream, [last = event->last] { last->reached = std::chrono::steady_clock::now(); });
  event->last->stream = stream;
  event->last->place = end_of(*stream);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  *milliseconds = std::chrono::duration<float, std::milli>(end->last->reached - begin->last->reached).count();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->last->stream != nullptr) run_until(*event->last->stream, event->last->place);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  enqueue(stream, [last = event->last] {
    if (last->stream != nullptr) run_until(*last->stream, last->place);
  });
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  *pool = new CUmemPoolHandle_st{properties->location.id};
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr, void* value) {
  *static_cast<uint64_t*>(value) = cuda_emulator::held_bytes(pool->device);
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  delete pool;
  return cudaSuccess;
}

cudaError_t cudaMallocFromPoolAsync(void** block, size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
  const std::lock_guard lock(cuda_emulator::calls());
  const size_t aligned = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const size_t pages = (aligned + kPageBytes - 1) / kPageBytes * kPageBytes;
  if (bytes == 0 || pool->device != stream->device) return cudaErrorInvalidValue;
  if (pages < bytes || pages > kDeviceBytes - cuda_emulator::held_bytes(pool->device))
    return cudaErrorMemoryAllocation;
  void* const first = mmap(nullptr, pages + kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (first == MAP_FAILED || mprotect(first, pages, PROT_READ | PROT_WRITE) != 0)
    return cudaErrorMemoryAllocation;
  std::memset(first, kUnwritten, pages);
  if (mprotect(first, pages, PROT_NONE) != 0) std::abort();
  blocks().emplace(static_cast<std::byte*>(first), cuda_emulator::Pages{pages, pool->device});
  *block = static_cast<std::byte*>(first) + pages - aligned;
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* block, cudaStream_t stream) {
  enqueue(stream, [block] { cuda_emulator::release(block); });
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** block, size_t bytes) {
  *block = std::malloc(bytes);
  return *block != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* block) {
  std::free(block);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  enqueue(stream, [=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  if (stream->device != qsweep_device) return cudaErrorInvalidResourceHandle;
  enqueue(stream, [=] { std::memset(data, value, bytes); });
  return cudaSuccess;
}
