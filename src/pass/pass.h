// One pass over a model's stages: each is computed once for a batch of samples, and its weights are let go.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "graph/forward.h"
#include "graph/variants.h"
#include "models/model.h"
#include "quant/quantizers.h"
#include "scores/record.h"

namespace qsweep::pass {

inline constexpr int kReference = -1;

// Per op, of its input; empty where no calibration row reached it.
using Ranges = std::vector<std::optional<quant::Range>>;

// A model configuration. A carried one is computed in f32 values, so that others can be written as their
// difference from it; a leaf is carried as its difference from its parent.
struct Variant {
  bool carried = false;
  std::vector<const quant::Format*> formats = {};  // carried: per op, null is float
  int parent = kReference;                         // leaf: a carried variant, by its index, or the reference
  std::vector<graph::Override> overrides = {};     // leaf: ascending by op
};

// The counts of a sample's positions, with errors of zero: what a variant scores that never touches the
// sample.
scores::ScopedSums position_counts(const models::Model& model, const models::Sample& sample);

// What a walk back needs of the reference's forward.
struct ReferenceValues {
  std::map<size_t, graph::Values> inputs;  // by stage, the head's included
  graph::LinearOutputs linear_outputs;
};

struct PassInput {
  const models::Model& model;
  const ops::Context& ops;
  DType delta_dtype = DType::f32;
  std::vector<const models::Sample*> samples;
  std::span<const Variant> variants;  // of the whole run
  std::vector<int> live;              // those that this pass measures; leaves in the order of their forks
  const Ranges& ranges;
  // Of leaves of the reference only the squared errors are wanted: kl and what else needs their logits may be
  // left 0.
  bool squared_errors_alone = false;
  // The samples are the calibration data: the pass finds the range of every op's input itself, and tells it.
  bool calibrates = false;
  // Where the reference's values are left; none are if an earlier process has begun the pass.
  ReferenceValues* reference = nullptr;
};

using RangeSink = std::function<void(int op, float min, float max)>;

struct PassSinks {
  // The metrics of one (variant, sample of this pass); the last call counts. None where a leaf of the
  // reference never meets the sample.
  std::function<void(int variant, int64_t sample, const scores::ScopedSums&)> metrics;
  RangeSink range;
  // Local errors and input statistics, over the samples of this pass.
  std::function<void(int variant, const scores::LocalStats&)> local;
  // After every stage: the product arithmetic done in it, the reference's excepted. No stage: what an earlier
  // process has done.
  std::function<void(const std::string& stage, double flops)> stage_done;
};
// Those whose calls are results.
inline auto results(PassSinks& sinks) { return std::tie(sinks.metrics, sinks.local, sinks.range); }

// Where a pass can be left and taken up again by another process: between two stages.
struct Boundaries {
  // Puts back what the first stages have left, and says how many they are.
  std::function<size_t(graph::Variants&)> restore;
  std::function<void(size_t stages, const graph::Variants&)> reached;
};

struct PassReport {
  int64_t peak_bytes = 0;    // tables, values, deltas, scratch and mapped weights at once
  int64_t weight_bytes = 0;  // read from the checkpoint
  double flops = 0;          // of products, the reference's excepted
};

// Per op, the kind of rows that it works on.
std::vector<graph::Rows> row_kinds(const models::Model& model);

// What a pass over some samples and stages needs, shared by all kinds of passes. To the report's peak comes
// what loading takes.
graph::Batch load_batch(const models::Model& model, const std::vector<const models::Sample*>& samples,
                        const graph::Workspace& workspace, PassReport& report);
// 0 where no row of the batch reaches the stage: then they are not read.
int64_t weight_bytes(const graph::Stage& stage, const graph::Batch& batch);
// All stages but the head.
inline std::span<const graph::Stage> body_stages(const models::Model& model) {
  return std::span(model.stages).first(model.stages.size() - 1);
}
// Runs body() for one stage before the head while the weights of the next one (null: none) are read ahead,
// lets the stage's weights go, and adds to the report.
void run_body_stage(const models::Model& model, const graph::Stage& stage, const graph::Stage* next,
                    graph::Workspace& workspace, const graph::Batch& batch, PassReport& report,
                    const std::function<void()>& body);
// The stage after (or before, in a walk back) the one given; null at the end.
inline const graph::Stage* following(std::span<const graph::Stage> stages, size_t i) {
  return i + 1 < stages.size() ? &stages[i + 1] : nullptr;
}
inline const graph::Stage* preceding(std::span<const graph::Stage> stages, size_t i) {
  return i > 0 ? &stages[i - 1] : nullptr;
}

// Runs the pass. In a dry workspace nothing is computed and no sink but stage_done is called: the report is
// the plan.
PassReport run_pass(const PassInput& input, graph::Workspace& workspace, const PassSinks& sinks,
                    const Boundaries& boundaries = {});

// The reference alone, up to the head: calls the observer with every op's input, the head's included.
PassReport run_reference(const PassInput& input, graph::Workspace& workspace,
                         const std::function<void(int op, Matrix<const float> x)>& observer);

}  // namespace qsweep::pass
