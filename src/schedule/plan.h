// The memory plan: cuts a run into passes, each of which fits the memory it is given.
#pragma once

#include <optional>
#include <string>

#include "pass/pass.h"
#include "schedule/shares.h"

namespace qsweep::schedule {

// The samples and variants of one pass over the weights, as indices into the run's.
struct Chunk {
  std::vector<int> samples;
  std::vector<int> variants;
  int keep_every = 1;                // of so many stages one keeps its inputs for the way back
  bool keep_linear_outputs = false;  // for the way back
  size_t device = 0;                 // that computes it
  pass::PassReport plan;
};

struct MemoryPlan {
  int64_t budget_bytes = 0;
  // What the device holds before the first pass, and what products need beside their operands.
  int64_t base_bytes = 0;
  std::vector<Chunk> chunks;

  int64_t peak_bytes() const;  // base and the largest pass: of each device
  std::string describe(size_t pass) const;
  int64_t weight_bytes() const;
  double flops() const;    // of products, the reference's excepted
  size_t devices() const;  // that have a pass
};

inline std::vector<const models::Sample*> samples_of(const std::vector<models::Sample>& all,
                                                     const std::vector<int>& indices) {
  std::vector<const models::Sample*> some;
  for (const int i : indices) some.push_back(&all[static_cast<size_t>(i)]);
  return some;
}

// What a run holds on its device besides passes, once its model and data are read: what the process holds
// now, which after a pass is too much, what products need beside their operands, and on the CPU
// `results_bytes`, which the run itself is going to hold.
int64_t base_bytes_of(kernels::Device device, int64_t results_bytes = 0);

// What is cut into passes.
struct PlanProblem {
  const std::vector<models::Sample>& samples;
  size_t variants = 0;  // none: the samples alone are cut
  // Whether a pass can keep the inputs of fewer stages and compute the others once more.
  bool may_recompute = false;
  // Whether a device's single pass keeps outputs of linear ops where they fit.
  bool may_keep_linear_outputs = false;
  kernels::Device device;
  size_t devices = 1;                      // of the same kind
  Work work = {};                          // for more than one
  std::optional<int64_t> base_bytes = {};  // base_bytes_of() where not given
  // Walks a pass without computing.
  std::function<pass::PassReport(const Chunk&)> dry_run;
};

// As few passes on each device as fit budget_bytes, the memory of each; one device has everything, several
// have the shares of shares_of(). Samples are split first (their reference is then computed once); where a
// single sample is too large, fewer stages are kept or variants are split. Error with the least that would do
// where even that is too large.
MemoryPlan plan_memory(const PlanProblem& problem, int64_t budget_bytes);

}  // namespace qsweep::schedule
