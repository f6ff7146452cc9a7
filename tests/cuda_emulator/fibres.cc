#include "cuda_emulator/fibres.h"

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include <cuda_runtime.h>
#include <ucontext.h>

thread_local uint3 threadIdx, blockIdx;

namespace cuda_emulator {
namespace {

constexpr size_t kStackBytes = size_t{256} << 10;

struct Fibre {
  ucontext_t context;
  std::unique_ptr<std::byte[]> stack{new std::byte[kStackBytes]};
  bool done = false;
};

thread_local ucontext_t scheduler;
thread_local std::vector<Fibre> fibres;
thread_local const std::function<void()>* running = nullptr;

void run_fibre() {
  (*running)();
  fibres[threadIdx.x].done = true;
  swapcontext(&fibres[threadIdx.x].context, &scheduler);
}

void start(Fibre& fibre) {
  fibre.done = false;
  getcontext(&fibre.context);
  fibre.context.uc_stack.ss_sp = fibre.stack.get();
  fibre.context.uc_stack.ss_size = kStackBytes;
  makecontext(&fibre.context, run_fibre, 0);
}

}  // namespace

void run_block(unsigned threads, const std::function<void()>& kernel) {
  fibres.resize(threads);
  running = &kernel;
  for (Fibre& fibre : fibres) start(fibre);
  thread_local std::minstd_rand random;  // the same orders in every run of a program
  for (unsigned done = 0; done == 0;) {
    const unsigned first = static_cast<unsigned>(random()) % threads;
    const bool forward = random() / 2 % 2 == 0;
    for (unsigned i = 0; i < threads; ++i) {
      threadIdx.x = (forward ? first + i : first + threads - i) % threads;
      swapcontext(&scheduler, &fibres[threadIdx.x].context);
    }
    for (const Fibre& fibre : fibres) done += fibre.done ? 1 : 0;
    if (done != 0 && done != threads) {
      std::fprintf(stderr, "%u of %u threads ended, the others wait at a barrier\n", done, threads);
      std::abort();
    }
  }
}

}  // namespace cuda_emulator

void __syncthreads() { swapcontext(&cuda_emulator::fibres[threadIdx.x].context, &cuda_emulator::scheduler); }
