#include "sweep/estimate.h"

#include <algorithm>

#include "schedule/share_passes.h"
#include "sweep/hybrid.h"
#include "sweep/records.h"

namespace qsweep::sweep {
namespace {

using kernels::ProbeKind;
using scores::Method;
using scores::Metric;
using scores::Scope;
using scores::ScoreRecord;
using scores::Which;

// Probes of a metric: KL's second-order form is half the squared product with a Fisher probe.
ProbeKind probe_kind(Metric metric) {
  return metric.which == Which::kl ? ProbeKind::fisher : ProbeKind::rademacher;
}
double second_order_factor(Metric metric) { return metric.which == Which::kl ? 0.5 : 1.0; }

std::vector<pass::ProbeSet> probe_sets(const EstimateOptions& o) {
  std::vector<pass::ProbeSet> sets;
  if (o.method == Method::adjoint) {
    for (const Metric metric : o.metrics) sets.push_back({probe_kind(metric), metric, o.probes});
  } else if (o.method != Method::local) {
    const Metric kl{Which::kl, o.metrics.front().scope};
    const bool sampled = o.method == Method::hawq && o.hutchinson;
    sets.push_back({sampled ? ProbeKind::fisher : ProbeKind::cross_entropy, kl, sampled ? o.probes : 1});
  }
  return sets;
}

size_t scope_index(Scope scope) { return scope == Scope::all ? 0 : 1; }

void set_metric(ScoreRecord& record, Metric metric, std::span<const double> per_sample) {
  for (size_t s = 0; s < per_sample.size(); ++s)
    set_sum(record.per_sample[s].of(metric.scope), metric.which, per_sample[s]);
  record.measured.add(metric);
}

// What stands for all samples where nothing of a single one is measured.
void add_up(std::vector<scores::ScopedSums>& samples) {
  scores::ScopedSums sum;
  for (const scores::ScopedSums& sample : samples) sum.add(sample);
  samples = {sum};
}

}  // namespace

Estimator::Estimator(const Setting& setting, EstimateOptions options, const std::vector<ScoreRecord>& records)
    : setting_(setting), options_(std::move(options)), sets_(probe_sets(options_)) {
  places_.assign(options_.formats.size() * ops(), kNone);
  for (const ScoreRecord& record : records) {
    const auto format = std::ranges::find(options_.formats, record.format, &quant::Format::name);
    places_[static_cast<size_t>(format - options_.formats.begin()) * ops() + static_cast<size_t>(record.op)] =
        wanted_.size();
    wanted_.push_back(record.status == scores::Status::ok);
  }
  size_t probes = 0;
  for (const pass::ProbeSet& set : sets_) {
    first_probe_.push_back(probes);
    probes += static_cast<size_t>(set.probes);
  }
  first_probe_.push_back(probes);
}

pass::ProbePassInput Estimator::pass_input(const schedule::Chunk& chunk, const ops::Context& ops,
                                           const pass::Ranges& ranges,
                                           pass::ReferenceValues* reference) const {
  return {.setting = setting_.of_pass(chunk, ops, ranges),
          .sample_index = chunk.samples,
          .sets = sets_,
          .formats = options_.formats,
          .wanted = [this](size_t op, size_t format) { return is_wanted(op, format); },
          .seed = options_.seed,
          .traces = options_.method == Method::hawq,
          .keep_every = chunk.keep_every,
          .keep_linear_outputs = chunk.keep_linear_outputs,
          .reference = chunk.keep_linear_outputs ? reference : nullptr};
}

void Estimator::keep(const schedule::Keeping& keeping) {
  log_ = schedule::PhaseLog(keeping, "estimate");
  if (!plan_.chunks.empty()) log_.keep(plan_);
}

int64_t Estimator::results_bytes() const {
  const auto probes = static_cast<int64_t>(first_probe_.back());
  const int64_t products = wanted() * probes * int64_t{sizeof(pass::ProbeProducts)};
  const auto of_ops =
      static_cast<int64_t>(ops() * 4 * sizeof(double));  // traces, and estimates while they are made
  return static_cast<int64_t>(samples()) * (products + of_ops);
}

int64_t Estimator::told_bytes(const schedule::Chunk& chunk) const {
  constexpr int64_t kNames = 1 + sizeof(int) + 4 * sizeof(int64_t);  // of the call, op, format, probe, sample
  const auto probes = static_cast<int64_t>(first_probe_.back());
  const int64_t of_sample = wanted() * probes * (kNames + int64_t{sizeof(pass::ProbeProducts)}) +
                            static_cast<int64_t>(ops()) * probes * (kNames + int64_t{sizeof(double)});
  return std::ssize(chunk.samples) * of_sample +
         wanted() * (2 * kNames + int64_t{sizeof(scores::LocalStats)});
}

void Estimator::prepare(bool reference_is_left, std::optional<int64_t> base_bytes) {
  const pass::Ranges none(graph::count_ranges(setting_.model.ops));
  pass::ReferenceValues left;
  const auto dry_run = [&](const schedule::Chunk& chunk, graph::Workspace& workspace) {
    pass::ReferenceValues* const reference = reference_is_left ? &left : nullptr;
    return run_probe_pass(pass_input(chunk, setting_.devices.first(), none, reference), workspace, {});
  };
  plan_ = log_.plan([&] {
    return schedule::plan_memory(
        {.model = setting_.model,
         .devices = setting_.devices,
         .samples = setting_.data,
         .may_recompute = walks_back(),
         .may_keep_linear_outputs = walks_back(),
         .base_bytes = base_bytes,
         .dry_run = dry_run,
         .told_bytes = [&](const schedule::Chunk& chunk) { return told_bytes(chunk); }},
        setting_.memory_bytes);
  });
}

pass::ProbeSinks Estimator::sinks(const schedule::Chunk& chunk, std::vector<ScoreRecord>& records) {
  const auto sample_of = [&](int64_t s) {
    return static_cast<size_t>(chunk.samples[static_cast<size_t>(s)]);
  };
  return {.products =
              [this, sample_of](int op, size_t format, size_t set, int64_t probe, int64_t sample,
                                const pass::ProbeProducts& products) {
                const size_t p = first_probe_[set] + static_cast<size_t>(probe);
                products_[record_index(static_cast<size_t>(op), format)][p * samples() + sample_of(sample)] =
                    products;
              },
          .local =
              [this, &records](int op, size_t format, const scores::LocalStats& stats) {
                auto& local = records[record_index(static_cast<size_t>(op), format)].local;
                local ? local->add(stats) : void(local = stats);
              },
          .trace =
              [this, sample_of](int op, size_t set, int64_t, int64_t sample, double trace) {
                traces_[static_cast<size_t>(op)][sample_of(sample)] +=
                    trace / static_cast<double>(sets_[set].probes);
              },
          .weight_error =
              [this, &chunk](int op, size_t format, double sse) {
                // Told in every pass with a sample that reaches the op: the first one's counts.
                WeightError& error = weight_errors_[record_index(static_cast<size_t>(op), format)];
                if (error.pass == nullptr) error.pass = &chunk;
                if (error.pass == &chunk) error.sse += sse;
              },
          .logits_norm = [this, sample_of](
                             int64_t sample, Scope scope,
                             double norm) { logits_norms_[sample_of(sample)][scope_index(scope)] = norm; },
          .stage_done = {}};
}

void Estimator::run(const pass::Ranges& ranges, pass::ReferenceValues& reference,
                    std::vector<ScoreRecord>& records,
                    const std::function<void(const std::string&, double)>& progress) {
  products_.assign(records.size(), {});
  for (size_t i = 0; i < records.size(); ++i)
    if (wanted_[i]) products_[i].resize(first_probe_.back() * samples());
  traces_.assign(ops(), std::vector<double>(samples()));
  weight_errors_.assign(records.size(), {});
  logits_norms_.assign(samples(), {});
  if (!plan_.chunks.front().keep_linear_outputs) reference = {};
  const auto sinks_of = [&](const schedule::Chunk& chunk) {
    pass::ProbeSinks to = sinks(chunk, records);
    to.stage_done = progress;
    return to;
  };
  const auto run = [&](size_t i, const ops::Context& ops, const pass::ProbeSinks& noted,
                       const pass::Boundaries&) {
    graph::Workspace workspace(ops.device());
    return run_probe_pass(pass_input(plan_.chunks[i], ops, ranges, &reference), workspace, noted);
  };
  schedule::run_passes(setting_.devices, plan_, log_, sinks_of, run);
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].method = options_.method;
    records[i].measured = scores::Measured::none();
    if (!wanted_[i]) continue;
    records[i].per_sample = unchanged(setting_.model, setting_.data);
    if (options_.method == Method::local) add_up(records[i].per_sample);
    if (options_.method == Method::fisher) fill_fisher(records[i], i);
    if (options_.method == Method::hawq) fill_hawq(records[i], i);
  }
  if (options_.method != Method::adjoint) return;
  for (size_t format = 0; format < options_.formats.size(); ++format)
    for (size_t set = 0; set < sets_.size(); ++set) fill_adjoint(records, format, set);
}

std::span<const pass::ProbeProducts> Estimator::products_of(size_t record, size_t set) const {
  return std::span(products_[record])
      .subspan(first_probe_[set] * samples(), static_cast<size_t>(sets_[set].probes) * samples());
}

void Estimator::fill_adjoint(std::vector<ScoreRecord>& records, size_t format, size_t set) const {
  std::vector<HybridInput> inputs;
  std::vector<size_t> indices;
  for (size_t op = 0; op < ops(); ++op) {
    if (!is_wanted(op, format)) continue;
    const size_t i = record_index(op, format);
    const graph::LinearOp& linear = setting_.model.ops[op];
    inputs.push_back({std::string(graph::name(linear.tower)) + "/" + linear.role, sets_[set].probes,
                      static_cast<int64_t>(samples()), products_of(i, set)});
    indices.push_back(i);
  }
  const Metric metric = sets_[set].metric;
  const double factor = second_order_factor(metric);
  std::vector<HybridEstimate> estimates = hybrid_estimates(inputs);
  for (size_t n = 0; n < estimates.size(); ++n) {
    HybridEstimate& e = estimates[n];
    ScoreRecord& record = records[indices[n]];
    for (double& value : e.per_sample) value *= factor;
    set_metric(record, metric, e.per_sample);
    flag_nonlinear(record, metric);
    if (set == 0)  // the metric that ranks
      record.estimates = {{"token_form", factor * e.token_form},
                          {"whole_form", factor * e.whole_form},
                          {"coherence", e.coherence},
                          {"relative_standard_error", e.relative_standard_error}};
  }
}

void Estimator::flag_nonlinear(ScoreRecord& record, Metric metric) const {
  double error = 0, norm = 0, positions = 0;
  for (size_t s = 0; s < samples(); ++s) {
    const scores::MetricSums& sums = record.per_sample[s].of(metric.scope);
    error += scores::sum(sums, metric.which);
    positions += static_cast<double>(sums.positions);
    norm += logits_norms_[s][scope_index(metric.scope)];
  }
  const bool nonlinear = (metric.which == Which::kl && error > kNonlinearKl * positions) ||
                         (metric.which == Which::logits_sse && error > kNonlinearSse * norm);
  if (nonlinear && !record.has_flag(kNonlinearFlag)) record.flags.push_back(kNonlinearFlag);
}

// The empirical Fisher matrix in place of the true one: half the squared products with the gradients of the
// data's own next tokens, token by token.
void Estimator::fill_fisher(ScoreRecord& record, size_t index) const {
  std::vector<double> per_sample;
  double token = 0, whole = 0, element = 0;
  for (const pass::ProbeProducts& p : products_of(index, 0)) {
    per_sample.push_back(0.5 * p.token);
    token += p.token;
    whole += p.whole * p.whole;
    element += p.element;
  }
  set_metric(record, sets_[0].metric, per_sample);
  record.estimates = {{"token_form", token}, {"whole_form", whole}, {"element_form", element}};
}

// Half the mean eigenvalue of the Fisher matrix of the op's weight times the weight's squared error (HAWQ-V2,
// Dong et al. 2020).
void Estimator::fill_hawq(ScoreRecord& record, size_t index) const {
  const size_t op = static_cast<size_t>(record.op);
  const double error = weight_errors_[index].sse;
  const auto weights = static_cast<double>(setting_.model.ops[op].weights());
  std::vector<double> per_sample;
  double trace = 0;
  for (const double t : traces_[op]) {
    per_sample.push_back(0.5 * t / weights * error);
    trace += t;
  }
  set_metric(record, sets_[0].metric, per_sample);
  record.estimates = {{"fisher_trace", trace}, {"weight_error_sse", error}};
}

}  // namespace qsweep::sweep
