#include "pass/walk.h"

#include <algorithm>

#include "base/trace.h"
#include "pass/head_tiles.h"

namespace qsweep::pass {
namespace {

// To the report's peak comes what loading takes.
graph::Batch load_batch(const PassSetting& setting, const graph::Workspace& workspace, PassReport& report) {
  const trace::Span span("inputs");
  using Pixels = models::InputBuilder::Pixels;
  using Contents = graph::Batch::Contents;
  const bool dry = workspace.dry();
  const std::vector<const models::Sample*>& samples = setting.samples;
  std::vector<graph::SampleInputs> shapes;
  int64_t one_sample = 0;
  for (const models::Sample* sample : samples) {
    shapes.push_back(setting.model.inputs->load(*sample, Pixels::shapes));
    int64_t bytes = sample->decode_bytes;
    for (const auto& [name, table] : shapes.back().tables) bytes += table.size_bytes();
    one_sample = std::max(one_sample, bytes);
  }
  graph::Batch batch(shapes, dry ? Contents::shapes : Contents::room, workspace.device());
  report.peak_bytes = std::max(report.peak_bytes, batch.size_bytes() + one_sample);
  shapes.clear();
  for (size_t i = 0; i < samples.size() && !dry; ++i)
    batch.fill(static_cast<int64_t>(i), setting.model.inputs->load(*samples[i], Pixels::decode));
  return batch;
}

}  // namespace

Walk::Walk(const PassSetting& setting, graph::Workspace& workspace)
    : setting_(setting),
      workspace_(workspace),
      batch_(load_batch(setting, workspace, report_)),
      pass_{setting.ops, workspace, batch_, setting.model.ops},
      finite_(setting, batch_, workspace) {}

// 0 where no row of the batch reaches the stage: then they are not read.
int64_t Walk::weight_bytes(const graph::Stage* stage) const {
  if (stage == nullptr) return 0;
  const auto reached = [&](const graph::Node& node) {
    return !ops_of(node).empty() && batch_.rows(node.rows) > 0;
  };
  if (std::none_of(stage->nodes.begin(), stage->nodes.end(), reached)) return 0;
  int64_t bytes = 0;
  for (const TensorView& weight : stage->weights) bytes += weight.size_bytes();
  return bytes;
}

void Walk::note_peak(int64_t weight_bytes) {
  report_.peak_bytes =
      std::max(report_.peak_bytes, batch_.size_bytes() + weight_bytes + workspace_.peak_bytes());
}

// The stage's weights, and ahead of their use those of the next one.
void Walk::read(const graph::Stage& stage, const graph::Stage* next) {
  const io::Checkpoint& checkpoint = setting_.model.checkpoint;
  if (const int64_t bytes = weight_bytes(&stage); bytes > 0) {
    const trace::Span reading("weights", stage.name, {.bytes = static_cast<double>(bytes)});
    for (const TensorView& weight : stage.weights) checkpoint.populate(weight);
    workspace_.weights().prefetch(stage.weights);
  }
  if (weight_bytes(next) == 0) return;
  for (const TensorView& weight : next->weights) checkpoint.prefetch(weight);
  workspace_.weights().prefetch(next->weights);
}

void Walk::stage(const graph::Stage& stage, const graph::Stage* next, const std::function<void()>& compute) {
  const trace::Span span("stage", stage.name);
  workspace_.reset_peak();
  if (!workspace_.dry()) read(stage, next);
  compute();
  workspace_.deferred().settle();
  const io::Checkpoint& checkpoint = setting_.model.checkpoint;
  if (!workspace_.dry()) checkpoint.check_unchanged();
  report_.weight_bytes += weight_bytes(&stage);
  // On a GPU there is a place for the next stage's weights too.
  const bool both = workspace_.device().gpu != nullptr;
  note_peak(weight_bytes(&stage) + (both ? weight_bytes(next) : 0));
  if (workspace_.dry()) return;
  workspace_.weights().release(stage.weights);
  for (const auto* read : {&stage.weights, &stage.tables})
    for (const TensorView& tensor : *read) checkpoint.release(tensor);
}

void Walk::forward(size_t i, const std::function<const graph::Values&()>& compute) {
  const std::span<const graph::Stage> stages = body();
  const graph::Values* left = nullptr;
  stage(stages[i], i + 1 < stages.size() ? &stages[i + 1] : nullptr, [&] {
    left = &compute();
    finite_.outputs(stages[i], *left);
  });
  finite_.tell(stages[i], *left);
}

void Walk::backward(size_t i, const std::function<void()>& compute) {
  stage(body()[i], i > 0 ? &body()[i - 1] : nullptr, compute);
}

void Walk::head(const std::function<void()>& compute) {
  workspace_.reset_peak();
  compute();
  if (!workspace_.dry()) setting_.model.checkpoint.check_unchanged();
  const graph::LinearOp& head = setting_.model.lm_head();
  report_.weight_bytes += 2 * head.weight.part_bytes();
  note_peak(head.weight.rows(0, std::min(kHeadTile, head.out_features())).part_bytes());
}

}  // namespace qsweep::pass
