#include "sweep/variant_run.h"

#include <algorithm>
#include <chrono>

#include "schedule/share_passes.h"
#include "sweep/rate.h"

namespace qsweep::sweep {
namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool needs_range(const quant::Format* format) { return format != nullptr && format->activations.calibrated; }

bool needs_range(const pass::Variant& variant) {
  return std::any_of(variant.formats.begin(), variant.formats.end(),
                     [](const quant::Format* f) { return needs_range(f); }) ||
         std::any_of(variant.overrides.begin(), variant.overrides.end(),
                     [](const graph::Override& o) { return needs_range(o.format); });
}

}  // namespace

void Progress::add(const std::string& stage, double flops) {
  what = stage;
  done_flops += flops;
  if (stage.empty()) earlier_flops += flops;
}

void RunReport::add_earlier(const std::string& phase, double seconds) {
  if (seconds == 0) return;
  phases_s[phase] += seconds;
  earlier_s[phase] += seconds;
}

int64_t RunReport::planned_bytes() const {
  return std::max(plan.peak_bytes(), calibration ? calibration->peak_bytes() : 0);
}

double RunReport::all_earlier_s() const {
  double sum = 0;
  for (const auto& [phase, seconds] : earlier_s) sum += seconds;
  return sum;
}

VariantRun::Stopwatch::Stopwatch(double& s) : seconds(s), start(now_s()) {}
VariantRun::Stopwatch::~Stopwatch() { seconds += now_s() - start; }

VariantRun::VariantRun(const Setting& setting, std::vector<pass::Variant> variants,
                       std::optional<pass::Ranges> ranges)
    : setting_(setting),
      variants_(std::move(variants)),
      has_ranges_(ranges.has_value()),
      ranges_(ranges.value_or(pass::Ranges(setting.model.ops.size()))) {}

void VariantRun::keep(const schedule::Keeping& keeping, const std::string& phase) {
  calibration_log_ = schedule::PhaseLog(keeping, "calibrate");
  log_ = schedule::PhaseLog(keeping, phase);
  if (!report_.plan.chunks.empty()) log_.keep(report_.plan);
  if (report_.calibration) calibration_log_.keep(*report_.calibration);
}

void VariantRun::prepare(std::optional<int64_t> base_bytes) {
  timed("plan", [&] {
    report_.plan.budget_bytes = setting_.memory_bytes;
    const ops::Context& ops = setting_.devices.first();
    const auto dry_run = [&](const schedule::Chunk& chunk) {
      graph::Workspace workspace(ops.device(), /*dry=*/true);
      pass::ReferenceValues left;
      pass::PassInput input = pass_input(chunk, ops);
      if (chunk.keep_linear_outputs) input.reference = &left;
      pass::PassReport report = pass::run_pass(input, workspace, {});
      if (ops.device().gpu == nullptr) report.peak_bytes += told_bytes(chunk);
      return report;
    };
    report_.plan.base_bytes = base_bytes.value_or(0);
    if (variants_.empty()) return;
    report_.plan = log_.plan([&] {
      return schedule::plan_memory(
          {.samples = setting_.data,
           .variants = variants_.size(),
           .may_keep_linear_outputs = leaves_reference_ && setting_.devices.size() == 1,
           .device = ops.device(),
           .devices = setting_.devices.size(),
           .work =
               [&](const schedule::Share& share) {
                 return arithmetic(setting_.model, setting_.data, variants_, share);
               },
           .base_bytes = base_bytes,
           .dry_run = dry_run},
          setting_.memory_bytes);
    });
    if (!wants_ranges() || first_pass_calibrates()) return;
    report_.calibration = calibration_log_.plan([&] {
      return plan_calibration(setting_.model, setting_.devices, setting_.calibration, setting_.memory_bytes,
                              report_.plan.base_bytes);
    });
  });
}

// What the pass has told until it is finished, for the journal: of every pair once, twice where it starts
// with its parent's numbers.
int64_t VariantRun::told_bytes(const schedule::Chunk& chunk) const {
  constexpr int64_t kMetricsBytes = 1 + sizeof(int) + sizeof(int64_t) + sizeof(scores::ScopedSums);
  constexpr int64_t kLocalBytes = 1 + sizeof(int) + sizeof(scores::LocalStats);
  int64_t bytes = 0;
  for (const int v : chunk.variants) {
    const pass::Variant& variant = variants_[static_cast<size_t>(v)];
    const int64_t calls = variant.carried || variant.parent == pass::kReference ? 1 : 2;
    bytes += calls * std::ssize(chunk.samples) * kMetricsBytes + std::ssize(variant.overrides) * kLocalBytes;
  }
  return bytes;
}

bool VariantRun::first_pass_has_all_samples() const {
  const std::vector<schedule::Chunk>& chunks = report_.plan.chunks;
  return !chunks.empty() && chunks.front().samples.size() == setting_.data.size();
}

bool VariantRun::reference_is_left() const {
  return setting_.devices.size() == 1 && !report_.plan.chunks.empty() &&
         report_.plan.chunks.front().keep_linear_outputs;
}

bool VariantRun::wants_ranges() const {
  return !has_ranges_ && std::any_of(variants_.begin(), variants_.end(),
                                     [](const pass::Variant& v) { return needs_range(v); });
}

// On its way; several devices would have to wait for the one that does.
bool VariantRun::first_pass_calibrates() const {
  return wants_ranges() && setting_.devices.size() == 1 && &setting_.calibration == &setting_.data &&
         first_pass_has_all_samples();
}

void VariantRun::run(const Sinks& sinks, const ProgressObserver& progress) {
  if (report_.calibration)
    timed("calibrate", [&] {
      ranges_ = calibrate(setting_.model, setting_.devices, setting_.calibration, *report_.calibration,
                          calibration_log_);
      report_.add_earlier("calibrate", calibration_log_.earlier().seconds);
    });
  Progress state{.what = {}, .done_flops = 0, .total_flops = report_.plan.flops()};
  const auto sinks_of = [&](const schedule::Chunk& chunk) {
    return pass::PassSinks{.metrics =
                               [&](int variant, int64_t sample, const scores::ScopedSums& sums) {
                                 sinks.metrics(variant, chunk.samples[static_cast<size_t>(sample)], sums);
                               },
                           .range = [&](int op, float min, float max) { widen(ranges_, op, min, max); },
                           .local = sinks.local,
                           .stage_done =
                               [&](const std::string& stage, double flops) {
                                 state.add(stage, flops);
                                 if (progress) progress(state);
                               }};
  };
  const auto run = [&](size_t i, const ops::Context& ops, const pass::PassSinks& noted,
                       const pass::Boundaries& boundaries) {
    graph::Workspace workspace(ops.device());
    pass::PassInput input = pass_input(report_.plan.chunks[i], ops);
    input.calibrates = i == 0 && first_pass_calibrates();
    if (i == 0 && reference_is_left()) input.reference = &reference_;
    return pass::run_pass(input, workspace, noted, boundaries);
  };
  const schedule::Devices& devices = setting_.devices;
  const kernels::GemmCount reference = devices.products(kernels::GemmPurpose::reference);
  const kernels::GemmCount deltas = devices.products(kernels::GemmPurpose::deltas);
  timed("sweep", [&] {
    schedule::run_passes(devices, report_.plan, log_, sinks_of, run);
    report_.add_earlier("sweep", log_.earlier().seconds);
  });
  report_.reference = devices.products(kernels::GemmPurpose::reference).since(reference);
  report_.deltas = devices.products(kernels::GemmPurpose::deltas).since(deltas);
  report_.reference.add(log_.earlier().of(kernels::GemmPurpose::reference));
  report_.deltas.add(log_.earlier().of(kernels::GemmPurpose::deltas));
}

std::vector<scores::OpRecord> op_records(const models::Model& model) {
  std::vector<scores::OpRecord> records;
  for (const graph::LinearOp& op : model.ops) {
    scores::OpRecord& record =
        records.emplace_back(scores::OpRecord{.name = op.name,
                                              .tower = std::string(graph::name(op.tower)),
                                              .block = op.block,
                                              .role = op.role,
                                              .in_features = op.in_features(),
                                              .out_features = op.out_features(),
                                              .parameters = op.parameters(),
                                              .fusion_group = std::nullopt});
    if (!op.fusion_group.empty()) record.fusion_group = op.fusion_group;
  }
  return records;
}

scores::DataInfo data_counts(const std::vector<models::Sample>& data) {
  scores::DataInfo info;
  info.samples = static_cast<int64_t>(data.size());
  info.image_tokens = 0;
  for (const models::Sample& sample : data) {
    info.tokens += static_cast<int64_t>(sample.token_ids.size());
    info.answer_tokens += std::count(sample.answer_mask.begin(), sample.answer_mask.end(), 1);
    info.images += static_cast<int64_t>(sample.images.size());
    *info.image_tokens += sample.rows[static_cast<size_t>(graph::Rows::units)];
  }
  return info;
}

std::vector<scores::ScopedSums> unchanged(const models::Model& model,
                                          const std::vector<models::Sample>& data) {
  std::vector<scores::ScopedSums> sums;
  sums.reserve(data.size());
  for (const models::Sample& sample : data) sums.push_back(pass::position_counts(model, sample));
  return sums;
}

}  // namespace qsweep::sweep
