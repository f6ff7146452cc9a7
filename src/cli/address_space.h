// Room in the address space, which `ulimit -v` limits.
#pragma once

#include <cstdint>

namespace qsweep::cli {

// Error where the limit leaves no room for the stacks of so many threads and so many bytes. Beyond it the
// libraries that products come from do not fail but crash. To be called before each of both is taken.
void check_address_space(int threads, int64_t bytes);

}  // namespace qsweep::cli
