// The memory plan: cuts a run into passes, each of which fits the memory it is given.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/workspace.h"
#include "pass/setting.h"
#include "pass/variant.h"
#include "schedule/devices.h"

namespace qsweep::schedule {

// One pass over the weights: some of the samples, by their index, and some of the variants.
struct Chunk {
  std::vector<int> samples;
  std::vector<pass::VariantId> variants;
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
  const models::Model& model;
  const Devices& devices;
  const std::vector<models::Sample>& samples;
  std::span<const pass::Variant> variants = {};
  std::vector<pass::VariantId> live =
      {};  // those of the variants that are measured; none: the samples alone are cut
  // Whether a pass can keep the inputs of fewer stages and compute the others once more.
  bool may_recompute = false;
  // Whether a device's single pass keeps outputs of linear ops where they fit.
  bool may_keep_linear_outputs = false;
  std::optional<int64_t> base_bytes = {};  // base_bytes_of() where not given
  // Walks a pass in a dry workspace.
  std::function<pass::PassReport(const Chunk&, graph::Workspace&)> dry_run;
  // What a pass has told its journal until it is finished; nothing where not given.
  std::function<int64_t(const Chunk&)> told_bytes = {};
};

// As few passes on each device as fit budget_bytes, the memory of each; one device has everything, several
// have the shares of shares_of(). Samples are split first (their reference is then computed once); where a
// single sample is too large, fewer stages are kept or variants are split. Error with the least that would do
// where even that is too large.
MemoryPlan plan_memory(const PlanProblem& problem, int64_t budget_bytes);

}  // namespace qsweep::schedule
