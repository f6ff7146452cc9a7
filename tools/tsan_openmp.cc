// Linked into thread-sanitizer builds only. GNU's OpenMP runtime is not instrumented, so the sanitizer does
// not see that a parallel region starts after what came before it and ends before what comes after, and
// reports every loop as a race. These wrappers of the two entry points that the sources use tell it, so that
// real races inside loops are still found.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

namespace {

struct Region {
  void (*body)(void*);
  void* data;
  char fork, join;  // only their addresses matter
};

void run_region(void* argument) {
  auto* region = static_cast<Region*>(argument);
  __tsan_acquire(&region->fork);
  region->body(region->data);
  __tsan_release(&region->join);
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

void GOMP_parallel(void (*body)(void*), void* data, unsigned num_threads, unsigned flags) {
  static auto* const original = next<decltype(GOMP_parallel)>("GOMP_parallel");
  Region region{.body = body, .data = data, .fork = 0, .join = 0};
  __tsan_release(&region.fork);
  original(run_region, &region, num_threads, flags);
  __tsan_acquire(&region.join);
}

void GOMP_critical_name_start(void** lock) {
  static auto* const original = next<decltype(GOMP_critical_name_start)>("GOMP_critical_name_start");
  original(lock);
  __tsan_acquire(lock);
}

void GOMP_critical_name_end(void** lock) {
  static auto* const original = next<decltype(GOMP_critical_name_end)>("GOMP_critical_name_end");
  __tsan_release(lock);
  original(lock);
}

}  // extern "C"
