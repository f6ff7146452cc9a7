// One pass over a model's stages: each is computed once for a batch of samples, and its weights are let go.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "graph/variants.h"
#include "pass/setting.h"
#include "pass/variant.h"

namespace qsweep::pass {

struct PassInput {
  PassSetting setting;
  std::span<const Variant> variants;  // of the whole run
  std::vector<VariantId> live;        // those that this pass measures; leaves in the order of their forks
  // Of leaves of the reference only the squared errors are wanted: kl and what else needs their logits may be
  // left 0.
  bool squared_errors_alone = false;
  // The samples are the calibration data: the pass finds the range of every op's input itself, and tells it.
  bool calibrates = false;
  SketchSetting sketch = {};      // of leaves of the reference
  std::vector<int> sample_index;  // sketch: of the samples in the data
  // Where the reference's values are left; none are if an earlier process has begun the pass.
  ReferenceValues* reference = nullptr;
};

using RangeSink = std::function<void(int range, float min, float max)>;

struct PassSinks {
  // The metrics of one (variant, sample of this pass); the last call counts. None where a leaf of the
  // reference never meets the sample.
  std::function<void(VariantId, int64_t sample, const scores::ScopedSums&)> metrics;
  RangeSink range;
  // Of one (leaf of the reference, sample of this pass) its sketch, [tokens of the sample, width]; not called
  // where it is zero.
  std::function<void(VariantId, int64_t sample, const std::vector<float>&)> sketch;
  // Local errors and input statistics, over the samples of this pass.
  std::function<void(VariantId, const scores::LocalStats&)> local;
  // In one stage so many rows of a leaf went to other experts than its parent's; where some did.
  std::function<void(VariantId, int64_t rows)> flips;
  // After every stage: the product arithmetic done in it, the reference's excepted. No stage: what an earlier
  // process has done.
  std::function<void(const std::string& stage, double flops)> stage_done;
};
// Those whose calls are results.
inline auto results(PassSinks& sinks) {
  return std::tie(sinks.metrics, sinks.local, sinks.range, sinks.sketch, sinks.flips);
}

// Where a pass can be left and taken up again by another process: between two stages.
struct Boundaries {
  // Puts back what the first stages have left, and says how many they are.
  std::function<size_t(graph::Variants&)> restore;
  std::function<void(size_t stages, const graph::Variants&)> reached;
};

// Runs the pass. In a dry workspace nothing is computed and no sink but stage_done is called: the report is
// the plan.
PassReport run_pass(const PassInput& input, graph::Workspace& workspace, const PassSinks& sinks,
                    const Boundaries& boundaries = {});

// The reference alone, up to the head: calls the observer with every op's input, the head's included.
PassReport run_reference(const PassSetting& setting, graph::Workspace& workspace,
                         const std::function<void(int op, Matrix<const float> x)>& observer);

}  // namespace qsweep::pass
