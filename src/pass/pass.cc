#include "pass/pass.h"

#include <algorithm>

#include "base/trace.h"
#include "pass/finite.h"
#include "pass/head.h"

namespace qsweep::pass {
namespace {

// The reference, the carried variants that the pass needs, and their leaves; which variant each one is.
struct Branches {
  std::vector<graph::Branch> branches;
  std::vector<int> variants;  // kReference first
};

Branches branches_of(const PassInput& input) {
  Branches all;
  all.branches.push_back(
      {.formats = std::vector<const quant::Format*>(input.model.ops.size()), .leaves = {}});
  all.variants.push_back(kReference);
  const auto branch_of = [&](int carried) -> graph::Branch& {
    const auto it = std::find(all.variants.begin(), all.variants.end(), carried);
    if (it != all.variants.end()) return all.branches[static_cast<size_t>(it - all.variants.begin())];
    all.variants.push_back(carried);
    return all.branches.emplace_back(
        graph::Branch{.formats = input.variants[static_cast<size_t>(carried)].formats, .leaves = {}});
  };
  for (const int v : input.live) {
    const Variant& variant = input.variants[static_cast<size_t>(v)];
    if (variant.carried) {
      branch_of(v);
    } else {
      branch_of(variant.parent).leaves.push_back({.id = v, .overrides = variant.overrides});
    }
  }
  return all;
}

}  // namespace

std::vector<graph::Rows> row_kinds(const models::Model& model) {
  std::vector<graph::Rows> kinds(model.ops.size(), graph::Rows::tokens);  // lm_head is in no stage's nodes
  for (const graph::Stage& stage : model.stages)
    for (const graph::Node& node : stage.nodes)
      if (const auto* linear = std::get_if<graph::Linear>(&node.operation))
        kinds[static_cast<size_t>(linear->op)] = node.rows;
  return kinds;
}

graph::Batch load_batch(const models::Model& model, const std::vector<const models::Sample*>& samples,
                        const graph::Workspace& workspace, PassReport& report) {
  const trace::Span span("inputs");
  using Pixels = models::InputBuilder::Pixels;
  using Contents = graph::Batch::Contents;
  const bool dry = workspace.dry();
  std::vector<graph::SampleInputs> shapes;
  int64_t one_sample = 0;
  for (const models::Sample* sample : samples) {
    shapes.push_back(model.inputs->load(*sample, Pixels::shapes));
    int64_t bytes = sample->decode_bytes;
    for (const auto& [name, table] : shapes.back().tables) bytes += table.size_bytes();
    one_sample = std::max(one_sample, bytes);
  }
  graph::Batch batch(shapes, dry ? Contents::shapes : Contents::room, workspace.device());
  report.peak_bytes = std::max(report.peak_bytes, batch.size_bytes() + one_sample);
  shapes.clear();
  for (size_t i = 0; i < samples.size() && !dry; ++i)
    batch.fill(static_cast<int64_t>(i), model.inputs->load(*samples[i], Pixels::decode));
  return batch;
}

int64_t weight_bytes(const graph::Stage& stage, const graph::Batch& batch) {
  const auto reached = [&](const graph::Node& node) {
    return std::holds_alternative<graph::Linear>(node.operation) && batch.rows(node.rows) > 0;
  };
  if (std::none_of(stage.nodes.begin(), stage.nodes.end(), reached)) return 0;
  int64_t bytes = 0;
  for (const TensorView& weight : stage.weights) bytes += weight.size_bytes();
  return bytes;
}

void run_body_stage(const models::Model& model, const graph::Stage& stage, const graph::Stage* next,
                    graph::Workspace& workspace, const graph::Batch& batch, PassReport& report,
                    const std::function<void()>& body) {
  const trace::Span span("stage", stage.name);
  workspace.reset_peak();
  const int64_t bytes = weight_bytes(stage, batch);
  if (!workspace.dry() && bytes > 0) {
    const trace::Span reading("weights", stage.name, {.bytes = static_cast<double>(bytes)});
    for (const TensorView& weight : stage.weights) model.checkpoint.populate(weight);
  }
  if (!workspace.dry() && bytes > 0) workspace.weights().prefetch(stage.weights);
  const bool reads_next = next != nullptr && weight_bytes(*next, batch) > 0;
  if (!workspace.dry() && reads_next) {
    for (const TensorView& weight : next->weights) model.checkpoint.prefetch(weight);
    workspace.weights().prefetch(next->weights);
  }
  body();
  workspace.deferred().settle();
  if (!workspace.dry()) model.checkpoint.check_unchanged();
  report.weight_bytes += bytes;
  // On a GPU there is a place for the next stage's weights too.
  const int64_t held =
      workspace.device().gpu == nullptr ? bytes : bytes + (reads_next ? weight_bytes(*next, batch) : 0);
  report.peak_bytes = std::max(report.peak_bytes, batch.size_bytes() + held + workspace.peak_bytes());
  if (workspace.dry()) return;
  workspace.weights().release(stage.weights);
  for (const auto* read : {&stage.weights, &stage.tables})
    for (const TensorView& tensor : *read) model.checkpoint.release(tensor);
}

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

PassReport run_pass(const PassInput& input, graph::Workspace& workspace, const PassSinks& sinks,
                    const Boundaries& boundaries) {
  trace::Span span("pass", "variants");
  span.arg("samples", static_cast<int64_t>(input.samples.size()));
  span.arg("variants", static_cast<int64_t>(input.live.size()));
  PassReport report;
  const graph::Batch batch = load_batch(input.model, input.samples, workspace, report);
  const graph::Pass pass{input.ops, workspace, batch, input.model.ops};
  Branches branches = branches_of(input);
  ReferenceValues* kept = input.reference;
  graph::LinearObserver reference;
  graph::OpRanges ranges(input.ops.device(), input.ranges);
  const auto find_range = [&](int op, Matrix<const float> x) {
    const trace::Span range_span("row kernels", "ranges");
    ranges.find(op, x, workspace.deferred(),
                [&sinks, op](const quant::Range& range) { sinks.range(op, range.min, range.max); });
  };
  const bool calibrates = input.calibrates && !workspace.dry();
  if (calibrates) reference.input = find_range;
  ReferenceCheck finite(input.model, input.samples, batch, workspace);
  reference.output = [&](int op, const graph::Value& y) {
    finite.op_output(op, y.matrix);
    if (kept != nullptr) kept->linear_outputs[op] = y;
  };
  graph::Variants variants(pass, input.delta_dtype, ranges, std::move(branches.branches), sinks.local,
                           reference);

  const std::span<const graph::Stage> stages = body_stages(input.model);
  const size_t restored = boundaries.restore ? boundaries.restore(variants) : 0;
  if (restored > 0) kept = nullptr;
  if (restored > 0 && sinks.stage_done) sinks.stage_done("", variants.flops());

  const auto keep_inputs = [&](size_t stage) {
    if (kept != nullptr) kept->inputs[stage] = variants.values(0);
  };
  for (size_t i = restored; i < stages.size(); ++i) {
    keep_inputs(i);
    const double before = variants.flops();
    run_body_stage(input.model, stages[i], following(stages, i), workspace, batch, report, [&] {
      variants.run(stages[i]);
      finite.outputs(stages[i], variants.values(0));
    });
    finite.tell(stages[i], variants.values(0));
    if (boundaries.reached) boundaries.reached(i + 1, variants);
    if (sinks.stage_done) sinks.stage_done(stages[i].name, variants.flops() - before);
  }

  keep_inputs(stages.size());
  workspace.reset_peak();
  const graph::LinearOp& head = input.model.lm_head();
  if (calibrates)
    find_range(static_cast<int>(input.model.ops.size()) - 1, variants.values(0).at("hidden").matrix);
  const double head_flops = score_head(input, pass, variants, branches.variants, sinks);
  if (!workspace.dry()) input.model.checkpoint.check_unchanged();
  if (sinks.stage_done) sinks.stage_done(input.model.stages.back().name, head_flops);
  const int64_t tile_bytes =
      std::min(kHeadTile, head.out_features()) * head.in_features() * size_bytes(head.weight.dtype);
  report.peak_bytes = std::max(report.peak_bytes, batch.size_bytes() + tile_bytes + workspace.peak_bytes());
  report.weight_bytes += 2 * head.weight.size_bytes();
  report.flops = variants.flops() + head_flops;
  return report;
}

PassReport run_reference(const PassInput& input, graph::Workspace& workspace,
                         const std::function<void(int op, Matrix<const float> x)>& observer) {
  trace::Span span("pass", "reference");
  span.arg("samples", static_cast<int64_t>(input.samples.size()));
  PassReport report;
  const graph::Batch batch = load_batch(input.model, input.samples, workspace, report);
  graph::Forward forward({input.ops, workspace, batch, input.model.ops});
  graph::Values values;
  ReferenceCheck finite(input.model, input.samples, batch, workspace);
  const auto output = [&](int op, const graph::Value& y) { finite.op_output(op, y.matrix); };
  const auto stages = body_stages(input.model);
  for (size_t i = 0; i < stages.size(); ++i) {
    run_body_stage(input.model, stages[i], following(stages, i), workspace, batch, report, [&] {
      forward.run(stages[i], values, {.input = observer, .output = output});
      finite.outputs(stages[i], values);
    });
    finite.tell(stages[i], values);
  }
  if (!workspace.dry()) observer(static_cast<int>(input.model.ops.size()) - 1, values.at("hidden").matrix);
  workspace.deferred().settle();
  return report;
}

}  // namespace qsweep::pass
