#include "schedule/plan.h"

#include <algorithm>
#include <set>

#include "base/process.h"
#include "schedule/shares.h"
#include "schedule/work.h"

namespace qsweep::schedule {
namespace {

// Code and tables that oneDNN makes as products first run.
constexpr int64_t kProductCodeBytes = int64_t{24} << 20;
constexpr int64_t kJournalBytes = int64_t{6} << 20;   // SQLite's pages, and the piece of a record at hand
constexpr int64_t kThreadBytes = int64_t{256} << 10;  // of a thread's stack, and what it keeps of the heap
constexpr int64_t kGpuBytes = int64_t{96} << 20;
constexpr int kMostRecomputed = 64;  // stages between two that keep their inputs

// What a device gets.
struct Part {
  std::vector<int> samples;
  std::vector<pass::VariantId> variants;
};

class Planner {
 public:
  Planner(const PlanProblem& problem, int64_t budget, int64_t base, const Part& part)
      : problem_(problem), base_(base), budget_(budget - base), part_(part) {}

  std::vector<Chunk> plan() {
    for (int first = 0; first < sample_count();) {
      const int count = most_samples(first, part_.variants);
      if (count > 0) {
        first += count;
      } else {
        split_sample(first++, part_.variants);
      }
    }
    if (problem_.may_keep_linear_outputs && chunks_.size() == 1) keep_linear_outputs(chunks_.front());
    return std::move(chunks_);
  }

 private:
  int sample_count() const { return static_cast<int>(part_.samples.size()); }

  bool fits(int first, int count, const std::vector<pass::VariantId>& variants, Chunk& chunk) const {
    const auto begin = part_.samples.begin() + first;
    chunk.samples.assign(begin, begin + count);
    chunk.variants = variants;
    walk(chunk);
    return chunk.plan.peak_bytes <= budget_;
  }

  kernels::Device device() const { return problem_.devices.first().device(); }

  void walk(Chunk& chunk) const {
    graph::Workspace workspace(device(), /*dry=*/true);
    chunk.plan = problem_.dry_run(chunk, workspace);
    if (device().gpu == nullptr && problem_.told_bytes) chunk.plan.peak_bytes += problem_.told_bytes(chunk);
  }

  // Appends the largest chunk of samples from `first` that fits with all variants; 0 where not even one does.
  // Doubles from as many as the last chunk has, then bisects: a walk over far more than fits would take
  // memory itself.
  int most_samples(int first, const std::vector<pass::VariantId>& variants) {
    const int left = sample_count() - first;
    int good = 0, bad = left + 1;
    Chunk best;
    int count = std::min(left, chunks_.empty() ? 1 : static_cast<int>(chunks_.back().samples.size()));
    while (good + 1 < bad) {
      Chunk chunk;
      if (fits(first, count, variants, chunk)) {
        good = count;
        best = std::move(chunk);
      } else {
        bad = count;
      }
      count = bad > left ? std::min(2 * good, left) : (good + bad) / 2;
    }
    if (good > 0) chunks_.push_back(std::move(best));
    return good;
  }

  void split_sample(int at, const std::vector<pass::VariantId>& variants) {
    if (variants.size() <= 1) {
      Chunk chunk;
      for (chunk.keep_every = 2; problem_.may_recompute && chunk.keep_every <= kMostRecomputed;
           chunk.keep_every *= 2)
        if (fits(at, 1, variants, chunk)) return chunks_.push_back(std::move(chunk));
      fits(at, 1, variants, chunk);
      int64_t least = base_ + chunk.plan.peak_bytes;
      if (device().gpu == nullptr) least = std::max(least, peak_resident_bytes());  // by reading the data
      fail("--memory: sample \"{}\" needs at least {} MiB, the limit is {} MiB",
           problem_.samples[static_cast<size_t>(chunk.samples.front())].id, (least >> 20) + 1,
           (base_ + budget_) >> 20);
    }
    const auto middle = variants.begin() + static_cast<int64_t>(variants.size() / 2);
    for (const std::vector<pass::VariantId>& half : {std::vector<pass::VariantId>(variants.begin(), middle),
                                                     std::vector<pass::VariantId>(middle, variants.end())}) {
      Chunk chunk;
      if (fits(at, 1, half, chunk)) {
        chunks_.push_back(std::move(chunk));
      } else {
        split_sample(at, half);
      }
    }
  }

  void keep_linear_outputs(Chunk& chunk) const {
    Chunk keeping = chunk;
    keeping.keep_linear_outputs = true;
    walk(keeping);
    if (keeping.plan.peak_bytes <= budget_) chunk = std::move(keeping);
  }

  const PlanProblem& problem_;
  int64_t base_;    // of the process
  int64_t budget_;  // of a pass
  const Part& part_;
  std::vector<Chunk> chunks_;
};

std::vector<Part> parts_of(const PlanProblem& problem) {
  const auto part_of = [&](const Share& share) {
    Part part{.samples = share.samples, .variants = {}};
    for (const int v : share.variants) part.variants.push_back(problem.live[static_cast<size_t>(v)]);
    return part;
  };
  const auto work = [&](const Share& share) {
    Tally tally(problem.model, problem.samples, problem.variants);
    tally.add(share.samples, part_of(share).variants);
    return tally.amount().flops;
  };
  std::vector<Part> parts;
  for (const Share& share :
       shares_of(static_cast<int>(problem.devices.size()), static_cast<int>(problem.samples.size()),
                 static_cast<int>(problem.live.size()), work))
    parts.push_back(part_of(share));
  return parts;
}

}  // namespace

int64_t base_bytes_of(kernels::Device device, int64_t results_bytes) {
  // Of a GPU only what is taken there: by cuBLASLt, the ring of staging memory, and pieces of weights that
  // are widened and quantized.
  if (device.gpu != nullptr) return kGpuBytes + kernels::Gemm::kScratchBytes;
  release_kept_memory();
  return resident_bytes() + kernels::Gemm::kScratchBytes + kProductCodeBytes + kJournalBytes +
         device.threads.count * kThreadBytes + results_bytes;
}

int64_t MemoryPlan::peak_bytes() const {
  int64_t peak = 0;
  for (const Chunk& chunk : chunks) peak = std::max(peak, chunk.plan.peak_bytes);
  return base_bytes + peak;
}

std::string MemoryPlan::describe(size_t pass) const {
  return fmt::format("pass {} of {}, planned with {} MiB of the {} MiB of --memory", pass + 1, chunks.size(),
                     (base_bytes + chunks[pass].plan.peak_bytes) >> 20, budget_bytes >> 20);
}

int64_t MemoryPlan::weight_bytes() const {
  int64_t bytes = 0;
  for (const Chunk& chunk : chunks) bytes += chunk.plan.weight_bytes;
  return bytes;
}

double MemoryPlan::flops() const {
  double flops = 0;
  for (const Chunk& chunk : chunks) flops += chunk.plan.flops;
  return flops;
}

size_t MemoryPlan::devices() const {
  std::set<size_t> devices;
  for (const Chunk& chunk : chunks) devices.insert(chunk.device);
  return devices.size();
}

MemoryPlan plan_memory(const PlanProblem& problem, int64_t budget_bytes) {
  MemoryPlan plan;
  plan.budget_bytes = budget_bytes;
  plan.base_bytes =
      problem.base_bytes ? *problem.base_bytes : base_bytes_of(problem.devices.first().device());
  const std::vector<Part> parts = parts_of(problem);
  for (size_t device = 0; device < parts.size(); ++device)
    for (Chunk& chunk : Planner(problem, budget_bytes, plan.base_bytes, parts[device]).plan()) {
      chunk.device = device;
      plan.chunks.push_back(std::move(chunk));
    }
  release_kept_memory();  // of walks over more than fits
  return plan;
}

}  // namespace qsweep::schedule
