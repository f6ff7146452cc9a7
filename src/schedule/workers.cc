#include "schedule/workers.h"

#include <thread>
#include <vector>

namespace qsweep::schedule {

void Workers::run(size_t count, const std::function<void(size_t)>& part) {
  std::vector<std::jthread> threads;
  try {
    for (size_t i = 1; i < count; ++i) threads.emplace_back([&, i] { call(i, part); });
  } catch (...) {
    failed(std::current_exception());  // the system has no further thread
  }
  call(0, part);
  for (std::jthread& thread : threads) thread.join();
  if (first_error_) std::rethrow_exception(first_error_);
}

void Workers::check() const {
  if (ends_) throw Ended();
}

void Workers::call(size_t i, const std::function<void(size_t)>& part) {
  try {
    check();
    part(i);
  } catch (const Ended&) {
    // Another part has failed.
  } catch (...) {
    failed(std::current_exception());
  }
}

void Workers::failed(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!first_error_) first_error_ = std::move(error);
  ends_ = true;
}

}  // namespace qsweep::schedule
