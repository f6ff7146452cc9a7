// Threads that do the parts of one piece of work.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>

namespace qsweep::schedule {

class Workers {
 public:
  // Calls part(i) for all i < count at once, part(0) on the calling thread. Where one throws, the others end
  // at their next check(), and what was thrown first is thrown again.
  void run(size_t count, const std::function<void(size_t)>& part);
  // Within a part.
  void check() const;

 private:
  struct Ended {};
  void call(size_t i, const std::function<void(size_t)>& part);
  void failed(std::exception_ptr error);

  std::atomic<bool> ends_ = false;
  std::mutex mutex_;
  std::exception_ptr first_error_;
};

}  // namespace qsweep::schedule
