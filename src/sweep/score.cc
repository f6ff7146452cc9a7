#include "sweep/score.h"

#include <algorithm>
#include <chrono>

#include <fnmatch.h>

#include "scores/finalize.h"

namespace qsweep::sweep {
namespace {

// What the rows of each op's input stand for.
std::vector<graph::Rows> op_rows(const models::Model& model) {
  std::vector<graph::Rows> rows(model.ops.size());
  for (const graph::Stage& stage : model.stages)
    for (const graph::Node& node : stage.nodes)
      if (const auto* linear = std::get_if<graph::Linear>(&node.operation))
        rows[static_cast<size_t>(linear->op)] = node.rows;
  return rows;
}

// Which ops are to be scored at all.
std::vector<bool> selected_ops(const models::Model& model, const ScoreOptions& options) {
  std::vector<bool> selected;
  int64_t count = 0;
  for (const graph::LinearOp& op : model.ops) {
    const bool take = fnmatch(options.ops_glob.c_str(), op.name.c_str(), 0) == 0 &&
                      count < options.max_ops.value_or(INT64_MAX);
    count += take ? 1 : 0;
    selected.push_back(take);
  }
  if (count == 0) fail("--ops: no op matches \"{}\"", options.ops_glob);
  return selected;
}

bool reached(const std::vector<models::Sample>& samples, graph::Rows kind) {
  return std::any_of(samples.begin(), samples.end(),
                     [&](const models::Sample& s) { return s.rows[static_cast<size_t>(kind)] > 0; });
}

}  // namespace

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

Sweep::Sweep(const models::Model& model, const ops::Context& ops, const std::vector<models::Sample>& data,
             const std::vector<models::Sample>& calibration, ScoreOptions options)
    : model_(model), ops_(ops), data_(data), calibration_(calibration), options_(std::move(options)) {}

template <class Body>
void Sweep::timed(const std::string& phase, Body&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  report_.phases_s[phase] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

PlanInput Sweep::plan_input(const std::vector<models::Sample>& samples,
                            std::span<const Variant> variants) const {
  return {model_, ops_, options_.strict ? DType::f32 : DType::bf16, samples, variants};
}

Outlook Sweep::make_outlook() const {
  Outlook outlook;
  const std::vector<graph::Rows> rows = op_rows(model_);
  const std::vector<bool> selected = selected_ops(model_, options_);
  for (const quant::Format* format : options_.formats) {
    for (size_t op = 0; op < model_.ops.size(); ++op) {
      scores::ScoreRecord record;
      record.op = static_cast<int>(op);
      record.format = format->name;
      record.effective_bits = quant::effective_weight_bits(*format, model_.ops[op].in_features());
      if (!selected[op]) {
        record.status = scores::Status::skipped;
      } else if (!reached(data_, rows[op])) {
        record.status = scores::Status::unexercised;
      } else if (format->activations.calibrated && !reached(calibration_, rows[op])) {
        record.status = scores::Status::uncalibrated;
      } else {
        outlook.variants.push_back({static_cast<int>(op), format, std::nullopt});
        outlook.record_of.push_back(outlook.records.size());
      }
      outlook.records.push_back(std::move(record));
    }
  }
  // Pairs join in model order; at one op, formats in the order they were asked for.
  std::vector<size_t> order(outlook.variants.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return outlook.variants[a].op < outlook.variants[b].op; });
  Outlook sorted{.records = std::move(outlook.records), .variants = {}, .record_of = {}};
  for (const size_t i : order) {
    sorted.variants.push_back(outlook.variants[i]);
    sorted.record_of.push_back(outlook.record_of[i]);
  }
  return sorted;
}

void Sweep::prepare() {
  timed("plan", [&] {
    outlook_ = make_outlook();
    report_.plan.budget_bytes = options_.memory_bytes;
    if (!outlook_.variants.empty())
      report_.plan = plan_memory(plan_input(data_, outlook_.variants), options_.memory_bytes);
  });
}

void Sweep::calibrate_variants() {
  const auto needs_range = [](const Variant& v) { return v.format->activations.calibrated; };
  if (std::none_of(outlook_.variants.begin(), outlook_.variants.end(), needs_range)) return;
  const Ranges ranges = calibrate(plan_input(calibration_, {}), options_.memory_bytes);
  for (Variant& v : outlook_.variants)
    if (needs_range(v)) v.range = ranges[static_cast<size_t>(v.op)];
}

scores::Run Sweep::run(const std::function<void(const Progress&)>& progress) {
  timed("calibrate", [&] { calibrate_variants(); });
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
