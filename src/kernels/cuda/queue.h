// One GPU's memory and the stream of work on it, in the order in which it is asked for, by one thread at a
// time. All may return before the work is done; `wait` is the only way to know.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

struct CUstream_st;

namespace qsweep::kernels::cuda {

// How many GPUs this machine has; 0 also without a driver.
int device_count();

class Queue {
 public:
  explicit Queue(int device = 0);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Memory of the GPU. The host must not touch it; what is freed may still be in use by work asked for
  // before.
  void* allocate(int64_t bytes);
  void free(void* block) noexcept;

  // `from` and `to` in the host's memory must stay as they are until `wait`.
  void upload(void* to, const void* from, int64_t bytes);
  void download(void* to, const void* from, int64_t bytes);
  void clear(void* data, int64_t bytes);  // to zeros
  int64_t free_bytes() const;             // that nobody uses
  void wait();
  int64_t waits() const;  // so far

  // An upload through the ring below: `from` may change at once.
  void write(void* to, const void* from, int64_t bytes);

  // The time that the GPU takes for what body asks for is added to `seconds` by a later settle_times(), which
  // waits.
  template <class Body>
  void timed(double& seconds, Body&& body) {
    begin_time(seconds);
    body();
    end_time();
  }
  void settle_times();
  // For numbers that are about to go: they get nothing more.
  void forget_times() noexcept;

  // A copy of host data for the kernels launched next, in a ring of memory that waits only where it meets
  // launches still to be done; `from` may change at once. At most kStageBytes.
  static constexpr int64_t kStageBytes = int64_t{1} << 20;
  const void* stage(const void* from, int64_t bytes);

  // For a launch: the calling thread's GPU becomes the queue's.
  CUstream_st* stream() const;
  // Throws where a launch failed, and names the kernel.
  static void check_launch(int code, const char* kernel);

 private:
  void begin_time(double& seconds);
  void end_time();

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qsweep::kernels::cuda
