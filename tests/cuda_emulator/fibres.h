// The threads of one block, as fibres of the calling thread.
#pragma once

#include <functional>

namespace cuda_emulator {

// Runs `kernel` once per thread, all together from barrier to barrier, with threadIdx set.
void run_block(unsigned threads, const std::function<void()>& kernel);

}  // namespace cuda_emulator
