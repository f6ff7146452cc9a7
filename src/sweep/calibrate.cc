#include "sweep/calibrate.h"

#include <algorithm>

namespace qsweep::sweep {

Ranges calibrate(const PlanInput& input, int64_t budget_bytes) {
  Ranges ranges(input.model.ops.size());
  const Threads threads = input.ops.threads();
  const auto observe = [&](int op, Matrix<const float> x) {
    const scores::LocalStats stats = graph::input_stats(threads, x);
    auto& range = ranges[static_cast<size_t>(op)];
    const auto min = static_cast<float>(stats.input_min), max = static_cast<float>(stats.input_max);
    range = range ? quant::InputRange{std::min(range->min, min), std::max(range->max, max)}
                  : quant::InputRange{min, max};
  };
  for (const Chunk& chunk : plan_memory(input, budget_bytes).chunks) {
    graph::Workspace workspace;
    run_reference(pass_input(input, chunk), workspace, observe);
  }
  return ranges;
}

}  // namespace qsweep::sweep
