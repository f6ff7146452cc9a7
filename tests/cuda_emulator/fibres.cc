#include "cuda_emulator/fibres.h"

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include <cuda_runtime.h>
#include <ucontext.h>

#include "kernels/cuda/block.h"

thread_local uint3 threadIdx, blockIdx;
thread_local dim3 blockDim;

namespace cuda_emulator {
namespace {

constexpr size_t kStackBytes = size_t{256} << 10;

enum class State { ready, waits, ended };

// A place in the code of some stack. Changing between two takes no system call, as swapcontext does.
using Place = std::jmp_buf;

struct Fibre {
  ucontext_t context;  // of its first run
  Place place;
  bool begun = false;
  std::unique_ptr<std::byte[]> stack{new std::byte[kStackBytes]};
  State state = State::ready;
  uint64_t barrier = 0;  // where it waits: one bit for each thread that it waits for, and kBlock
  uint64_t shown = 0;    // to the threads of its warp
};

thread_local Place scheduler;
thread_local std::vector<Fibre> fibres;
thread_local const std::function<void()>* running = nullptr;

using qsweep::kernels::kWarpThreads;

constexpr uint64_t kBlock = uint64_t{1} << 63;  // a barrier of the block, not of a warp

void leave(Place& from, Place& to) {
  if (_setjmp(from) == 0) _longjmp(to, 1);
}

// A fibre runs one kernel after the other.
void run_fibre() {
  while (true) {
    (*running)();
    fibres[threadIdx.x].state = State::ended;
    leave(fibres[threadIdx.x].place, scheduler);
  }
}

void resume(unsigned thread) {
  threadIdx.x = thread;
  Fibre& fibre = fibres[thread];
  if (fibre.begun) return leave(scheduler, fibre.place);
  fibre.begun = true;
  getcontext(&fibre.context);
  fibre.context.uc_stack.ss_sp = fibre.stack.get();
  fibre.context.uc_stack.ss_size = kStackBytes;
  makecontext(&fibre.context, run_fibre, 0);
  if (_setjmp(scheduler) == 0) setcontext(&fibre.context);
}

// Whether all that have to come to a barrier are there; then they go on.
bool release(uint64_t barrier) {
  const auto must_come = [&](unsigned thread) { return (barrier >> thread & 1) != 0; };
  for (unsigned i = 0; i < blockDim.x; ++i)
    if (must_come(i) && (fibres[i].state != State::waits || fibres[i].barrier != barrier)) return false;
  for (unsigned i = 0; i < blockDim.x; ++i)
    if (must_come(i)) fibres[i].state = State::ready;
  return true;
}

// Of the threads that can run the first one does so, as far as it can.
std::vector<unsigned> random_order(unsigned threads) {
  thread_local std::minstd_rand random;  // the same orders in every run of a program
  std::vector<unsigned> order;
  const unsigned first = static_cast<unsigned>(random()) % threads;
  const bool forward = random() / 2 % 2 == 0;
  for (unsigned i = 0; i < threads; ++i)
    order.push_back((forward ? first + i : first + threads - i) % threads);
  return order;
}

void wait_at(uint64_t barrier) {
  Fibre& fibre = fibres[threadIdx.x];
  fibre.state = State::waits;
  fibre.barrier = barrier;
  leave(fibre.place, scheduler);
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "block %u, thread %u: %s\n", blockIdx.x, threadIdx.x, what);
  std::abort();
}

unsigned first_of_warp() { return threadIdx.x / kWarpThreads * kWarpThreads; }

}  // namespace

void run_block(unsigned threads, const std::function<void()>& kernel) {
  blockDim.x = threads;
  if (fibres.size() < threads) fibres.resize(threads);
  running = &kernel;
  for (unsigned i = 0; i < threads; ++i) fibres[i].state = State::ready;
  const auto in = [](State state) { return [=](unsigned t) { return fibres[t].state == state; }; };
  std::vector<unsigned> order = random_order(threads);
  while (!std::ranges::all_of(order, in(State::ended))) {
    const auto next = std::ranges::find_if(order, in(State::ready));
    if (next == order.end()) fail("is the last that got on; some wait at a barrier that others do not reach");
    resume(*next);
    const Fibre& fibre = fibres[*next];
    if (fibre.state == State::waits && release(fibre.barrier) && (fibre.barrier & kBlock) != 0)
      order = random_order(threads);
  }
}

uint64_t exchange(unsigned mask, uint64_t value, unsigned lane) {
  if (lane >= kWarpThreads || (mask >> lane & 1) == 0) fail("asks for a lane that is not in its mask");
  fibres[threadIdx.x].shown = value;
  __syncwarp(mask);
  const uint64_t shown = fibres[first_of_warp() + lane].shown;
  __syncwarp(mask);
  return shown;
}

unsigned this_lane() { return threadIdx.x % kWarpThreads; }

}  // namespace cuda_emulator

void __syncthreads() { cuda_emulator::wait_at(cuda_emulator::kBlock | ((uint64_t{1} << blockDim.x) - 1)); }

void __syncwarp(unsigned mask) {
  if ((mask >> cuda_emulator::this_lane() & 1) == 0) cuda_emulator::fail("is not in its own mask");
  cuda_emulator::wait_at(uint64_t{mask} << cuda_emulator::first_of_warp());
}
