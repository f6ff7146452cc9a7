#include "sweep/pass.h"

#include <algorithm>

#include "sweep/head.h"

namespace qsweep::sweep {
namespace {

graph::Batch load_batch(const PassInput& input, bool dry) {
  using Pixels = models::InputBuilder::Pixels;
  std::vector<graph::SampleInputs> loaded;
  for (const models::Sample* sample : input.samples)
    loaded.push_back(input.model.inputs->load(*sample, dry ? Pixels::leave_out : Pixels::decode));
  return graph::Batch(std::move(loaded),
                      dry ? graph::Batch::Contents::shapes : graph::Batch::Contents::values);
}

int64_t weight_bytes(const graph::Stage& stage) {
  int64_t bytes = 0;
  for (const TensorView& weight : stage.weights) bytes += weight.size_bytes();
  return bytes;
}

// Runs body(stage) for every stage before the head, and keeps the report of memory.
template <class Body>
void for_body_stages(const PassInput& input, graph::Workspace& workspace, int64_t held_bytes,
                     PassReport& report, Body&& body) {
  const auto& stages = input.model.stages;
  for (size_t i = 0; i + 1 < stages.size(); ++i) {
    workspace.reset_peak();
    body(stages[i]);
    const int64_t weights = weight_bytes(stages[i]);
    report.weight_bytes += weights;
    report.peak_bytes = std::max(report.peak_bytes, held_bytes + weights + workspace.peak_bytes());
    if (workspace.dry()) continue;
    for (const TensorView& weight : stages[i].weights) input.model.checkpoint.release(weight);
  }
}

// The forks of the pass's live variants, by op.
std::vector<std::vector<graph::Fork>> forks_by_op(const PassInput& input) {
  std::vector<std::vector<graph::Fork>> forks(input.model.ops.size());
  for (const int v : input.live) {
    const Variant& variant = input.variants[static_cast<size_t>(v)];
    forks[static_cast<size_t>(variant.op)].push_back({v, variant.format, variant.range});
  }
  return forks;
}

}  // namespace

scores::ScopedSums position_counts(const models::Model& model, const models::Sample& sample) {
  scores::ScopedSums counts;
  const auto tokens = static_cast<int64_t>(sample.token_ids.size());
  const auto answers = std::count_if(sample.answer_mask.begin() + 1, sample.answer_mask.end(),
                                     [](uint8_t m) { return m != 0; });
  counts.all.positions = tokens;
  counts.all.targets = tokens - 1;
  counts.answer.positions = counts.answer.targets = answers;
  for (scores::MetricSums* m : {&counts.all, &counts.answer}) {
    m->hidden_elements = m->positions * model.hidden_size;
    m->logits_elements = m->positions * model.vocab_size;
  }
  return counts;
}

PassReport run_pass(const PassInput& input, graph::Workspace& workspace, const PassSinks& sinks) {
  const graph::Batch batch = load_batch(input, workspace.dry());
  const graph::Pass pass{input.ops, workspace, batch, input.model.ops};
  const auto forks = forks_by_op(input);
  graph::Variants variants(
      pass, input.delta_dtype, [&](int op) { return forks[static_cast<size_t>(op)]; }, sinks.local);

  PassReport report;
  graph::Values values;
  graph::Deltas deltas;
  for_body_stages(input, workspace, batch.size_bytes(), report, [&](const graph::Stage& stage) {
    const double before = variants.delta_flops();
    variants.run(stage, values, deltas);
    if (sinks.stage_done) sinks.stage_done(stage.name, variants.delta_flops() - before);
  });

  workspace.reset_peak();
  const graph::LinearOp& head = input.model.lm_head();
  const graph::Value hidden = std::move(values.at("hidden"));
  const graph::Delta delta = std::move(deltas["hidden"]);
  score_head(input, pass, variants.pairs(), forks.back(), hidden.matrix, delta, sinks);
  const int64_t rows = (delta.empty() ? 0 : delta.view.rows) +
                       2 * static_cast<int64_t>(forks.back().size()) * hidden.matrix.rows;
  const double head_flops = 2.0 * static_cast<double>(head.weight.elements()) * static_cast<double>(rows);
  if (sinks.stage_done) sinks.stage_done(input.model.stages.back().name, head_flops);
  const int64_t tile_bytes =
      std::min(kHeadTile, head.out_features()) * head.in_features() * size_bytes(head.weight.dtype);
  report.peak_bytes = std::max(report.peak_bytes, batch.size_bytes() + tile_bytes + workspace.peak_bytes());
  report.weight_bytes += 2 * head.weight.size_bytes();
  report.delta_flops = variants.delta_flops() + head_flops;
  return report;
}

PassReport run_reference(const PassInput& input, graph::Workspace& workspace,
                         const graph::LinearObserver& observer) {
  const graph::Batch batch = load_batch(input, workspace.dry());
  graph::Forward forward({input.ops, workspace, batch, input.model.ops});
  PassReport report;
  graph::Values values;
  for_body_stages(input, workspace, batch.size_bytes(), report,
                  [&](const graph::Stage& stage) { forward.run(stage, values, observer); });
  if (!workspace.dry()) observer(static_cast<int>(input.model.ops.size()) - 1, values.at("hidden").matrix);
  return report;
}

}  // namespace qsweep::sweep
