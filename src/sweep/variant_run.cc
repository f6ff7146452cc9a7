#include "sweep/variant_run.h"

#include <algorithm>
#include <set>

#include "schedule/share_passes.h"
#include "sweep/calibrate.h"
#include "sweep/records.h"

namespace qsweep::sweep {
namespace {

bool needs_range(const quant::Format* format) { return format != nullptr && format->activations.calibrated; }

bool needs_range(const pass::Variant& variant) {
  return std::any_of(variant.formats.begin(), variant.formats.end(),
                     [](const quant::Format* f) { return needs_range(f); }) ||
         std::any_of(variant.overrides.begin(), variant.overrides.end(),
                     [](const graph::Override& o) { return needs_range(o.format); });
}

}  // namespace

VariantRun::VariantRun(const Setting& setting, std::span<const pass::Variant> variants,
                       std::vector<pass::VariantId> live, std::optional<pass::Ranges> ranges)
    : setting_(setting),
      variants_(variants),
      live_(std::move(live)),
      has_ranges_(ranges.has_value()),
      ranges_(ranges.value_or(pass::Ranges(graph::count_ranges(setting.model.ops)))) {}

void VariantRun::keep(const schedule::Keeping& keeping, const std::string& phase) {
  calibration_log_ = schedule::PhaseLog(keeping, "calibrate");
  log_ = schedule::PhaseLog(keeping, phase);
  if (!report_.plan.chunks.empty()) log_.keep(report_.plan);
  if (report_.calibration) calibration_log_.keep(*report_.calibration);
}

void VariantRun::prepare(std::optional<int64_t> base_bytes) {
  report_.timed("plan", [&] {
    report_.plan.budget_bytes = setting_.memory_bytes;
    report_.plan.base_bytes = base_bytes.value_or(0);
    if (live_.empty()) return;
    report_.plan = log_.plan([&] { return plan(base_bytes); });
    if (!wants_ranges() || first_pass_calibrates()) return;
    report_.calibration = calibration_log_.plan([&] {
      return plan_calibration(setting_.model, setting_.devices, setting_.calibration, setting_.memory_bytes,
                              report_.plan.base_bytes);
    });
  });
}

schedule::MemoryPlan VariantRun::plan(std::optional<int64_t> base_bytes) const {
  const auto dry_run = [&](const schedule::Chunk& chunk, graph::Workspace& workspace) {
    pass::ReferenceValues left;
    pass::PassInput input = pass_input(chunk, setting_.devices.first());
    if (chunk.keep_linear_outputs) input.reference = &left;
    return run_pass(input, workspace, {});
  };
  return schedule::plan_memory(
      {.model = setting_.model,
       .devices = setting_.devices,
       .samples = setting_.data,
       .variants = variants_,
       .live = live_,
       .may_keep_linear_outputs = leaves_reference_ && setting_.devices.size() == 1,
       .base_bytes = base_bytes,
       .dry_run = dry_run,
       .told_bytes = [&](const schedule::Chunk& chunk) { return told_bytes(chunk); }},
      setting_.memory_bytes);
}

// Every pair once, twice where it starts with its parent's numbers; parents too that are not measured
// themselves.
int64_t VariantRun::told_bytes(const schedule::Chunk& chunk) const {
  constexpr int64_t kMetricsBytes = 1 + sizeof(int) + sizeof(int64_t) + sizeof(scores::ScopedSums);
  constexpr int64_t kLocalBytes = 1 + sizeof(int) + sizeof(scores::LocalStats);
  constexpr int64_t kFlipsBytes = 1 + sizeof(int) + sizeof(int64_t);
  std::set<pass::VariantId> parents;
  int64_t metrics = 0, locals = 0;
  for (const pass::VariantId v : chunk.variants) {
    const pass::Variant& variant = at(variants_, v);
    const pass::VariantId parent = variant.carried ? v : variant.parent;
    if (parent != pass::kReference) parents.insert(parent);
    if (!variant.carried) metrics += variant.parent == pass::kReference ? 1 : 2;
    locals += std::ssize(variant.overrides);
  }
  metrics += std::ssize(parents);
  return metrics * std::ssize(chunk.samples) * kMetricsBytes + locals * kLocalBytes +
         std::ssize(chunk.variants) * mixtures(setting_.model) * kFlipsBytes + sketch_bytes(chunk);
}

int64_t VariantRun::sketch_bytes(const schedule::Chunk& chunk) const {
  constexpr int64_t kCallBytes = 1 + sizeof(int) + sizeof(int64_t) + sizeof(uint64_t);
  if (setting_.sketch.width == 0) return 0;
  int64_t bytes = 0;
  for (const int sample : chunk.samples)
    bytes += kCallBytes + std::ssize(setting_.data[static_cast<size_t>(sample)].token_ids) *
                              setting_.sketch.width * int64_t{sizeof(float)};
  const auto leaves = std::ranges::count_if(chunk.variants, [&](pass::VariantId v) {
    return !at(variants_, v).carried && at(variants_, v).parent == pass::kReference;
  });
  return bytes * leaves;
}

pass::PassInput VariantRun::pass_input(const schedule::Chunk& chunk, const ops::Context& ops) const {
  return {.setting = setting_.of_pass(chunk, ops, ranges_),
          .variants = variants_,
          .live = chunk.variants,
          .squared_errors_alone = setting_.squared_errors_alone,
          .sketch = setting_.sketch,
          .sample_index = chunk.samples};
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
  const auto needs = [&](pass::VariantId v) {
    return v != pass::kReference && needs_range(at(variants_, v));
  };
  return !has_ranges_ && std::ranges::any_of(live_, [&](pass::VariantId v) {
    return needs(v) || needs(at(variants_, v).parent);
  });
}

// On its way; several devices would have to wait for the one that does.
bool VariantRun::first_pass_calibrates() const {
  return wants_ranges() && setting_.devices.size() == 1 && &setting_.calibration == &setting_.data &&
         first_pass_has_all_samples();
}

pass::PassSinks VariantRun::pass_sinks(const schedule::Chunk& chunk, const Sinks& sinks,
                                       std::function<void(const std::string&, double)> stage_done) {
  return {.metrics =
              [&](pass::VariantId variant, int64_t sample, const scores::ScopedSums& sums) {
                if (!std::ranges::binary_search(live_, variant)) return;  // the parent of one that is
                sinks.metrics(variant, chunk.samples[static_cast<size_t>(sample)], sums);
              },
          .range = [&](int which, float min, float max) { widen(ranges_, which, min, max); },
          .sketch =
              [&](pass::VariantId variant, int64_t sample, const std::vector<float>& sketch) {
                sinks.sketch(variant, chunk.samples[static_cast<size_t>(sample)], sketch);
              },
          .local = sinks.local,
          .flips = sinks.flips,
          .stage_done = std::move(stage_done)};
}

void VariantRun::run(const Sinks& sinks, const ProgressObserver& progress) {
  if (report_.calibration)
    report_.timed("calibrate", [&] {
      ranges_ = calibrate(setting_.model, setting_.devices, setting_.calibration, *report_.calibration,
                          calibration_log_);
      report_.add_earlier("calibrate", calibration_log_.earlier().seconds);
    });
  Progress state{.what = {}, .done_flops = 0, .total_flops = report_.plan.flops()};
  const auto sinks_of = [&](const schedule::Chunk& chunk) {
    return pass_sinks(chunk, sinks, [&](const std::string& stage, double flops) {
      state.add(stage, flops);
      if (progress) progress(state);
    });
  };
  const auto run = [&](size_t i, const ops::Context& ops, const pass::PassSinks& noted,
                       const pass::Boundaries& boundaries) {
    graph::Workspace workspace(ops.device());
    pass::PassInput input = pass_input(report_.plan.chunks[i], ops);
    input.calibrates = i == 0 && first_pass_calibrates();
    if (i == 0 && reference_is_left()) input.reference = &reference_;
    return run_pass(input, workspace, noted, boundaries);
  };
  const schedule::Devices& devices = setting_.devices;
  const kernels::GemmCount reference = devices.products(kernels::GemmPurpose::reference);
  const kernels::GemmCount deltas = devices.products(kernels::GemmPurpose::deltas);
  report_.timed("sweep", [&] {
    schedule::run_passes(devices, report_.plan, log_, sinks_of, run);
    report_.add_earlier("sweep", log_.earlier().seconds);
  });
  report_.reference = devices.products(kernels::GemmPurpose::reference).since(reference);
  report_.deltas = devices.products(kernels::GemmPurpose::deltas).since(deltas);
  report_.reference.add(log_.earlier().of(kernels::GemmPurpose::reference));
  report_.deltas.add(log_.earlier().of(kernels::GemmPurpose::deltas));
}

}  // namespace qsweep::sweep
