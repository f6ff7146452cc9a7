// What tensors take of the memory, for tests of plans.
#pragma once

#include <cstdint>

namespace qsweep {

// Of large blocks in use at once, the most since release_kept_memory().
int64_t most_tensor_bytes();

}  // namespace qsweep
