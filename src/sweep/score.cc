#include "sweep/score.h"

#include <algorithm>
#include <chrono>

#include "scores/finalize.h"

namespace qsweep::sweep {
namespace {

// The op's record for scores.json.
scores::OpRecord op_record(const graph::LinearOp& op) {
  scores::OpRecord record{.name = op.name,
                          .tower = std::string(graph::name(op.tower)),
                          .block = op.block,
                          .role = op.role,
                          .in_features = op.in_features(),
                          .out_features = op.out_features(),
                          .parameters = op.parameters(),
                          .fusion_group = std::nullopt};
  if (!op.fusion_group.empty()) record.fusion_group = op.fusion_group;
  return record;
}

}  // namespace

Sweep::Sweep(const models::Model& model, const ops::Context& ops, const std::vector<models::Sample>& data,
             const std::vector<models::Sample>& calibration, ScoreOptions options)
    : model_(model), ops_(ops), data_(data), calibration_(calibration), options_(std::move(options)), ranges_(model.ops.size()) {}

template <class Body>
void Sweep::timed(const std::string& phase, Body&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  report_.phases_s[phase] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

PlanInput Sweep::plan_input(const std::vector<models::Sample>& samples,
                            std::span<const Variant> variants) const {
  return {model_, ops_, options_.strict ? DType::f32 : DType::bf16, samples, variants, ranges_};
}

void Sweep::prepare() {
  timed("plan", [&] {
    outlook_ = make_outlook(model_, data_, calibration_, options_);
    report_.plan.budget_bytes = options_.memory_bytes;
    if (!outlook_.variants.empty())
      report_.plan = plan_memory(plan_input(data_, outlook_.variants), options_.memory_bytes);
  });
}

void Sweep::calibrate_ranges() {
  if (std::none_of(options_.formats.begin(), options_.formats.end(),
                   [](const quant::Format* f) { return f->activations.calibrated; }))
    return;
  ranges_ = calibrate(plan_input(calibration_, {}), options_.memory_bytes);
}

scores::Run Sweep::run(const std::function<void(const Progress&)>& progress) {
  timed("calibrate", [&] { calibrate_ranges(); });
  scores::Run run;
  for (const graph::LinearOp& op : model_.ops) run.ops.push_back(op_record(op));
  run.data.samples = static_cast<int64_t>(data_.size());
  for (const models::Sample& sample : data_) {
    run.data.tokens += static_cast<int64_t>(sample.token_ids.size());
    run.data.answer_tokens += std::count(sample.answer_mask.begin(), sample.answer_mask.end(), 1);
    run.data.images += static_cast<int64_t>(sample.image_paths.size());
  }
  run.scores = outlook_.records;
  for (const size_t r : outlook_.record_of)
    for (const models::Sample& sample : data_)
      run.scores[r].per_sample.push_back(position_counts(model_, sample));

  const PlanInput input = plan_input(data_, outlook_.variants);
  Progress state{.what = {}, .done_flops = 0, .total_flops = report_.plan.delta_flops()};
  const kernels::GemmCount reference = ops_.gemm.count(kernels::GemmPurpose::reference);
  const kernels::GemmCount deltas = ops_.gemm.count(kernels::GemmPurpose::deltas);
  timed("sweep", [&] {
    for (const Chunk& chunk : report_.plan.chunks) {
      graph::Workspace workspace;
      const auto record = [&](int variant) -> scores::ScoreRecord& {
        return run.scores[outlook_.record_of[static_cast<size_t>(variant)]];
      };
      run_pass(pass_input(input, chunk), workspace,
               {.metrics =
                    [&](int variant, int64_t sample, const scores::ScopedSums& sums) {
                      const int s = chunk.samples[static_cast<size_t>(sample)];
                      record(variant).per_sample[static_cast<size_t>(s)] = sums;
                    },
                .local =
                    [&](int variant, const scores::LocalStats& stats) {
                      auto& local = record(variant).local;
                      local ? local->add(stats) : void(local = stats);
                    },
                .stage_done =
                    [&](const std::string& stage, double flops) {
                      state.what = stage;
                      state.done_flops += flops;
                      if (progress) progress(state);
                    }});
    }
  });
  report_.reference = ops_.gemm.count(kernels::GemmPurpose::reference).since(reference);
  report_.deltas = ops_.gemm.count(kernels::GemmPurpose::deltas).since(deltas);
  timed("statistics", [&] { scores::finalize(run, options_.metric, options_.seed); });
  return run;
}

}  // namespace qsweep::sweep
