#include "sweep/calibrate.h"

#include <algorithm>

#include "base/trace.h"
#include "graph/op_ranges.h"
#include "pass/pass.h"
#include "schedule/share_passes.h"

namespace qsweep::sweep {
namespace {

struct RangeSinks {
  pass::RangeSink range;
};
auto results(RangeSinks& sinks) { return std::tie(sinks.range); }

// Of an op's input, which has rows, with the workspace's deferred numbers.
void tell_range(graph::Workspace& workspace, const pass::RangeSink& sink, const graph::RangedInput& input) {
  const trace::Span span("row kernels", "ranges");
  kernels::find_range(
      workspace.device(), input.x,
      workspace.deferred().ask<quant::Range>(
          [&sink, i = input.range](const quant::Range& found) { sink(i, found.min, found.max); }));
}

pass::PassSetting reference_pass(const models::Model& model, const std::vector<models::Sample>& samples,
                                 const schedule::Chunk& chunk, const ops::Context& ops,
                                 const pass::Ranges& none) {
  return {
      .model = model, .ops = ops, .samples = schedule::samples_of(samples, chunk.samples), .ranges = none};
}

}  // namespace

void widen(pass::Ranges& ranges, int which, float min, float max) {
  auto& range = ranges[static_cast<size_t>(which)];
  range = range ? quant::Range{std::min(range->min, min), std::max(range->max, max)} : quant::Range{min, max};
}

schedule::MemoryPlan plan_calibration(const models::Model& model, const schedule::Devices& devices,
                                      const std::vector<models::Sample>& samples, int64_t budget_bytes,
                                      std::optional<int64_t> base_bytes) {
  const pass::Ranges none(graph::count_ranges(model.ops));
  return schedule::plan_memory({.model = model,
                                .devices = devices,
                                .samples = samples,
                                .base_bytes = base_bytes,
                                .dry_run =
                                    [&](const schedule::Chunk& chunk, graph::Workspace& workspace) {
                                      return pass::run_reference(
                                          reference_pass(model, samples, chunk, devices.first(), none),
                                          workspace, {});
                                    }},
                               budget_bytes);
}

pass::Ranges calibrate(const models::Model& model, const schedule::Devices& devices,
                       const std::vector<models::Sample>& samples, const schedule::MemoryPlan& plan,
                       schedule::PhaseLog& log) {
  pass::Ranges ranges(graph::count_ranges(model.ops));
  const pass::Ranges none(graph::count_ranges(model.ops));
  const RangeSinks to{.range = [&](int op, float min, float max) { widen(ranges, op, min, max); }};
  const auto run = [&](size_t i, const ops::Context& ops, const RangeSinks& sinks, const pass::Boundaries&) {
    graph::Workspace workspace(ops.device());
    return pass::run_reference(reference_pass(model, samples, plan.chunks[i], ops, none), workspace,
                               [&](int op, Matrix<const float> x) {
                                 if (x.rows == 0) return;
                                 const graph::LinearOp& of = model.ops[static_cast<size_t>(op)];
                                 for (const graph::RangedInput& input : graph::ranged_inputs(of, op, x))
                                   tell_range(workspace, sinks.range, input);
                               });
  };
  schedule::run_passes(
      devices, plan, log, [&](const schedule::Chunk&) { return to; }, run);
  return ranges;
}

}  // namespace qsweep::sweep
