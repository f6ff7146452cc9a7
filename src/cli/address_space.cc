#include "cli/address_space.h"

#include <fstream>

#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/flags.h"

namespace qsweep::cli {
namespace {

// What libraries take besides: the code of products, tables, files that are mapped for a moment.
constexpr int64_t kBeside_bytes = int64_t{96} << 20;

int64_t used_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t pages = 0;
  file >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

int64_t stack_bytes() {
  pthread_attr_t attributes;
  size_t bytes = 0;
  pthread_getattr_default_np(&attributes);
  pthread_attr_getstacksize(&attributes, &bytes);
  pthread_attr_destroy(&attributes);
  return static_cast<int64_t>(bytes);
}

}  // namespace

void check_address_space(int threads, int64_t bytes) {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  mallopt(M_ARENA_MAX, 1);  // an arena of each thread would reserve 128 MiB
  const int64_t needed = used_bytes() + (threads - 1) * stack_bytes() + bytes + kBeside_bytes;
  if (static_cast<uint64_t>(needed) > limit.rlim_cur)
    fail(
        "the address space is limited to {} (ulimit -v), and this run needs about {}: raise the limit, or "
        "give less --memory or fewer --threads",
        format_bytes(static_cast<int64_t>(limit.rlim_cur)), format_bytes(needed));
}

}  // namespace qsweep::cli
