#include "kernels/cuda/copy_stream.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "kernels/cuda/check.h"
#include "kernels/cuda/queue.h"

namespace qsweep::kernels::cuda {
namespace {

constexpr int64_t kPieceBytes = int64_t{16} << 20;
constexpr size_t kPieces = 3;  // one is filled, one is copied, one is waited for

// Of the queue's GPU, which becomes the calling thread's.
std::shared_ptr<void> new_event(const Queue& queue) {
  queue.stream();
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
  return {event, [](void* e) { cudaEventDestroy(static_cast<cudaEvent_t>(e)); }};
}

cudaEvent_t event_of(const std::shared_ptr<void>& mark) { return static_cast<cudaEvent_t>(mark.get()); }

}  // namespace

struct CopyStream::State {
  struct Job {
    void* to;
    const void* from;
    int64_t bytes;
    Mark after, copied;
  };
  struct Piece {
    std::byte* pinned = nullptr;
    std::shared_ptr<void> copied;  // when it may be filled again
  };

  State(Queue& q, Threads t) : queue(q), threads(t) {
    queue.stream();  // the calling thread's GPU
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
    for (Piece& piece : pieces) {
      void* pinned = nullptr;
      check(cudaMallocHost(&pinned, kPieceBytes), "allocating pinned memory");
      piece = {static_cast<std::byte*>(pinned), new_event(queue)};
    }
    worker = std::thread([this] { work(); });
  }
  ~State() {
    {
      const std::lock_guard lock(mutex);
      ends = true;
    }
    changed.notify_all();
    worker.join();
    cudaStreamSynchronize(stream);
    for (const Piece& piece : pieces) cudaFreeHost(piece.pinned);
    cudaStreamDestroy(stream);
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return ends || !jobs.empty(); });
      if (ends) return;
      const Job job = jobs.front();
      lock.unlock();
      try {
        if (!failed) run(job);
      } catch (...) {
        failed = std::current_exception();
      }
      lock.lock();
      jobs.pop_front();
      ++asked;
      changed.notify_all();
    }
  }

  void run(const Job& job) {
    queue.stream();  // this thread's GPU
    if (job.after != nullptr)
      check(cudaStreamWaitEvent(stream, event_of(job.after), 0), "waiting for the GPU");
    for (int64_t done = 0; done < job.bytes; done += kPieceBytes) {
      const int64_t bytes = std::min(kPieceBytes, job.bytes - done);
      Piece& piece = pieces[next++ % kPieces];
      check(cudaEventSynchronize(event_of(piece.copied)), "waiting for pinned memory");
      const auto* from = static_cast<const std::byte*>(job.from) + done;
      parallel_for(threads, bytes, [&](int64_t begin, int64_t end) {
        std::memcpy(piece.pinned + begin, from + begin, static_cast<size_t>(end - begin));
      });
      check(cudaMemcpyAsync(static_cast<std::byte*>(job.to) + done, piece.pinned, static_cast<size_t>(bytes),
                            cudaMemcpyHostToDevice, stream),
            "copying to the GPU");
      check(cudaEventRecord(event_of(piece.copied), stream), "recording an event");
    }
    check(cudaEventRecord(event_of(job.copied), stream), "recording an event");
  }

  Queue& queue;
  Threads threads;
  cudaStream_t stream = nullptr;
  std::array<Piece, kPieces> pieces;
  size_t next = 0;
  std::thread worker;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> jobs;           // the first is being done
  uint64_t given = 0, asked = 0;  // jobs so far, and those that the stream has been asked for
  bool ends = false;
  std::exception_ptr failed;
};

CopyStream::CopyStream(Queue& queue, Threads threads) : state_(std::make_unique<State>(queue, threads)) {}
CopyStream::~CopyStream() = default;

CopyStream::Mark CopyStream::mark() {
  Mark event = new_event(state_->queue);
  check(cudaEventRecord(event_of(event), state_->queue.stream()), "recording an event");
  return event;
}

CopyStream::Copy CopyStream::copy(void* to, const void* from, int64_t bytes, const Mark& after) {
  Copy copy{0, new_event(state_->queue)};
  {
    const std::lock_guard lock(state_->mutex);
    copy.number = state_->given++;
    state_->jobs.push_back({to, from, bytes, after, copy.done});
  }
  state_->changed.notify_all();
  return copy;
}

void CopyStream::join(const Copy& copy) {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return state_->asked > copy.number; });
  if (state_->failed) std::rethrow_exception(state_->failed);
  check(cudaStreamWaitEvent(state_->queue.stream(), event_of(copy.done), 0), "waiting for copies");
}

}  // namespace qsweep::kernels::cuda
