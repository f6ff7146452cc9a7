// The memory plan: cuts a run into passes, each of which fits the memory it is given.
#pragma once

#include "sweep/pass.h"

namespace qsweep::sweep {

// The samples and variants of one pass over the weights, as indices into the run's.
struct Chunk {
  std::vector<int> samples;
  std::vector<int> variants;
  PassReport plan;
};

struct MemoryPlan {
  int64_t budget_bytes = 0;
  int64_t base_bytes =
      0;  // the process before the first pass, and what the products need beside their operands
  std::vector<Chunk> chunks;

  int64_t peak_bytes() const;  // base and the largest pass
  int64_t weight_bytes() const;
  double flops() const;  // of products, the reference's excepted
};

struct PlanInput {
  const models::Model& model;
  const ops::Context& ops;
  DType delta_dtype = DType::f32;
  const std::vector<models::Sample>& samples;
  std::span<const Variant> variants;  // carried ones first; none: passes of the reference alone
  const Ranges& ranges;
};

// As few passes as fit budget_bytes: samples are split first (their reference is then computed once),
// variants only where a single sample with all of them is too large. Error with the least that would do where
// even one variant of one sample is.
MemoryPlan plan_memory(const PlanInput& input, int64_t budget_bytes);

// The PassInput of a chunk.
PassInput pass_input(const PlanInput& input, const Chunk& chunk);

}  // namespace qsweep::sweep
