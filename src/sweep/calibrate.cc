#include "sweep/calibrate.h"

#include <algorithm>

#include "base/trace.h"

namespace qsweep::sweep {

Ranges calibrate(const models::Model& model, const ops::Context& ops,
                 const std::vector<models::Sample>& samples, int64_t budget_bytes) {
  Ranges ranges(model.ops.size());
  const Threads threads = ops.threads();
  const auto observe = [&](int op, Matrix<const float> x) {
    const trace::Span span("row kernels", "ranges");
    const scores::LocalStats stats = graph::input_stats(threads, x);
    auto& range = ranges[static_cast<size_t>(op)];
    const auto min = static_cast<float>(stats.input_min), max = static_cast<float>(stats.input_max);
    range = range ? quant::InputRange{std::min(range->min, min), std::max(range->max, max)}
                  : quant::InputRange{min, max};
  };
  const Ranges none(model.ops.size());
  const auto pass_of = [&](const Chunk& chunk) {
    return PassInput{model, ops, DType::f32, samples_of(samples, chunk.samples), {}, {}, none};
  };
  const auto dry_run = [&](const Chunk& chunk) {
    graph::Workspace workspace(/*dry=*/true);
    return run_reference(pass_of(chunk), workspace, {});
  };
  for (const Chunk& chunk : plan_memory({.samples = samples, .dry_run = dry_run}, budget_bytes).chunks) {
    graph::Workspace workspace;
    run_reference(pass_of(chunk), workspace, observe);
  }
  return ranges;
}

}  // namespace qsweep::sweep
