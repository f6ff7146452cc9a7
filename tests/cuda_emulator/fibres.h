// The threads of one block, as fibres of the calling thread.
#pragma once

#include <functional>

namespace cuda_emulator {

// Runs `kernel` once per thread, with threadIdx set. A thread runs up to a barrier, and on when all that it
// waits for have come to it.
void run_block(unsigned threads, const std::function<void()>& kernel);

}  // namespace cuda_emulator
