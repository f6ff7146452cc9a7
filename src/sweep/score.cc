#include "sweep/score.h"

#include <algorithm>
#include <chrono>

#include "scores/finalize.h"

namespace qsweep::sweep {
namespace {

using scores::Method;
using scores::ScoreRecord;

// auto measures at least so many and this share of a format's ops, those with the largest estimates.
constexpr size_t kLeastRefined = 10;
constexpr double kRefinedShare = 0.25;

constexpr const char* kChoiceKey = "refine/choice";

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// What is measured exactly from the start: with estimated scores only the baselines.
std::vector<Variant> exact_variants(const Outlook& outlook, Method method) {
  std::vector<Variant> variants = outlook.variants;
  if (method != Method::exact) std::erase_if(variants, [](const Variant& v) { return !v.carried; });
  return variants;
}

EstimateOptions estimate_options(const ScoreOptions& o) {
  EstimateOptions estimate{.method = o.method == Method::automatic ? Method::adjoint : o.method,
                           .metrics = {o.metric},
                           .formats = o.formats,
                           .probes = o.probes,
                           .hutchinson = o.hutchinson,
                           .seed = o.seed};
  for (const scores::Metric metric : o.metrics)
    if (std::find(estimate.metrics.begin(), estimate.metrics.end(), metric) == estimate.metrics.end())
      estimate.metrics.push_back(metric);
  return estimate;
}

kernels::GemmCount all_products(const kernels::Gemm& gemm) {
  using kernels::GemmPurpose;
  kernels::GemmCount sum;
  for (const auto purpose : {GemmPurpose::reference, GemmPurpose::deltas, GemmPurpose::cotangents})
    sum.add(gemm.count(purpose));
  return sum;
}

double total_error(const ScoreRecord& record, scores::Metric metric) {
  double total = 0;
  for (const scores::ScopedSums& sample : record.per_sample)
    total += scores::sum(sample.of(metric.scope), metric.which);
  return total;
}

// Leaves of a cumulative run are nearly float again where few ops are quantized: a small difference of two
// large ones, which bf16 cannot hold.
bool strict(const ScoreOptions& options) {
  return options.strict || options.mode == scores::Mode::requantize_cumulative;
}

}  // namespace

Sweep::Sweep(const models::Model& model, const ops::Context& ops, const std::vector<models::Sample>& data,
             const std::vector<models::Sample>& calibration, ScoreOptions options)
    : setting_{model, ops, data, calibration, strict(options), options.memory_bytes},
      options_(std::move(options)),
      outlook_(make_outlook(model, data, calibration, options_)),
      variant_run_(setting_, exact_variants(outlook_, options_.method)) {
  if (options_.method != Method::exact)
    estimator_.emplace(setting_, estimate_options(options_), outlook_.records);
}

void Sweep::keep(const Keeping& keeping) {
  keeping_ = keeping;
  variant_run_.keep(keeping, "sweep");
  if (estimator_) estimator_->keep(keeping);
}

void Sweep::prepare() {
  start_s_ = now_s();
  variant_run_.prepare();
  if (estimator_) variant_run_.timed("plan", [&] { estimator_->prepare(); });
}

scores::Run Sweep::run(const ProgressObserver& progress) {
  scores::Run run;
  run.joint_ranking = options_.method == Method::automatic;
  run.ops = op_records(setting_.model);
  run.data = data_counts(setting_.data);
  run.scores = outlook_.records;
  run.baselines = outlook_.baselines;
  measure(variant_run_, outlook_.targets, run, progress);
  if (estimator_) estimate(run, progress);
  if (options_.method == Method::automatic) refine(run, progress);
  variant_run_.timed("statistics", [&] { scores::finalize(run, options_.metric, options_.seed); });
  return run;
}

void Sweep::measure(VariantRun& variants, const std::vector<std::vector<Target>>& targets, scores::Run& run,
                    const ProgressObserver& progress) const {
  const auto of = [&](Target target) -> scores::Measurement& {
    if (target.kind == Target::Kind::score) return run.scores[target.index];
    return run.baselines[target.index];
  };
  for (size_t v = 0; v < variants.variants().size(); ++v)
    for (const Target target : targets[v]) of(target).per_sample = unchanged(setting_.model, setting_.data);
  variants.run({.metrics =
                    [&](int variant, int sample, const scores::ScopedSums& sums) {
                      for (const Target target : targets[static_cast<size_t>(variant)])
                        of(target).per_sample[static_cast<size_t>(sample)] = sums;
                    },
                .local =
                    [&](int variant, const scores::LocalStats& stats) {
                      // Of a variant that changes more than the scored op, its statistics cannot be told.
                      const auto& overrides = variants.variants()[static_cast<size_t>(variant)].overrides;
                      for (const Target target : targets[static_cast<size_t>(variant)]) {
                        if (overrides.size() != 1 || overrides.front().op != run.scores[target.index].op)
                          continue;
                        auto& local = run.scores[target.index].local;
                        local ? local->add(stats) : void(local = stats);
                      }
                    }},
               progress);
}

void Sweep::estimate(scores::Run& run, const ProgressObserver& progress) {
  Progress state{.what = {}, .done_flops = 0, .total_flops = estimator_->plan().flops()};
  const auto report = [&](const std::string& stage, double flops) {
    state.add(stage, flops);
    if (progress) progress(state);
  };
  const kernels::GemmCount before = all_products(setting_.ops.gemm);
  variant_run_.timed("estimate", [&] { estimator_->run(variant_run_.ranges(), run.scores, report); });
  const Cost& earlier = estimator_->earlier();
  variant_run_.report().add_earlier("estimate", earlier);
  kernels::GemmCount& products = variant_run_.report().estimates;
  products = all_products(setting_.ops.gemm).since(before);
  for (const kernels::GemmCount& count : earlier.products) products.add(count);
}

double Sweep::seconds_left() const {
  return start_s_ + *options_.time_budget_s - now_s() - report().earlier_s;
}

// Flagged ones first, then the largest, so many per format; formats in turn. Indices of records.
std::vector<size_t> Sweep::most_important(const scores::Run& run) const {
  std::vector<std::pair<size_t, size_t>> ranked;  // place within the format, record
  for (const scores::ScoreGroup& group : scores::group_scores(run)) {
    std::vector<size_t> members;
    size_t must = 0;
    for (const size_t i : group.members)
      if (run.scores[i].status == scores::Status::ok) members.push_back(i);
    for (const size_t i : members) must += run.scores[i].has_flag(kNonlinearFlag) ? 1 : 0;
    const auto key = [&](size_t i) {
      return std::pair(!run.scores[i].has_flag(kNonlinearFlag), -total_error(run.scores[i], options_.metric));
    };
    std::stable_sort(members.begin(), members.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
    const size_t share = static_cast<size_t>(kRefinedShare * static_cast<double>(members.size()));
    members.resize(std::min(members.size(), std::max({must, share, kLeastRefined})));
    for (size_t place = 0; place < members.size(); ++place) ranked.emplace_back(place, members[place]);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<size_t> chosen;
  for (const auto& [place, record] : ranked) chosen.push_back(record);
  return chosen;
}

Sweep::Refinement Sweep::refinement(const std::vector<size_t>& records) const {
  Refinement exact;
  for (size_t v = 0; v < outlook_.variants.size(); ++v) {
    if (outlook_.variants[v].carried) continue;
    if (std::find(records.begin(), records.end(), outlook_.targets[v].front().index) == records.end())
      continue;
    exact.leaves.push_back(outlook_.variants[v]);
    exact.targets.push_back(outlook_.targets[v]);
  }
  return exact;
}

// As many of the most important ones as there is time for. Kept, since another process would find another
// number.
std::vector<size_t> Sweep::choose(const scores::Run& run) const {
  std::vector<size_t> chosen;
  const auto read = [&](io::ByteSource& from) { chosen = from.get<std::vector<size_t>>(); };
  if (keeping_.journal != nullptr && keeping_.journal->read(kChoiceKey, read)) return chosen;
  const double rate = (report().plan.flops() + estimator_->plan().flops()) /
                      (report().phases_s.at("sweep") + report().phases_s.at("estimate"));
  const auto takes_too_long = [&] {
    if (!options_.time_budget_s) return false;
    VariantRun exact(setting_, refinement(chosen).leaves, variant_run_.ranges());
    exact.prepare();
    return exact.report().plan.flops() > rate * seconds_left();
  };
  chosen = most_important(run);
  while (!chosen.empty() && takes_too_long()) chosen.resize(chosen.size() / 2);
  if (keeping_.journal != nullptr)
    keeping_.journal->write(kChoiceKey, [&](io::ByteSink& to) { to.put(chosen); });
  return chosen;
}

void Sweep::refine(scores::Run& run, const ProgressObserver& progress) {
  const std::vector<size_t> chosen = choose(run);
  if (chosen.empty()) return;
  Refinement refined = refinement(chosen);
  VariantRun exact(setting_, std::move(refined.leaves), variant_run_.ranges());
  exact.keep(keeping_, "refine");
  exact.prepare();
  for (const size_t i : chosen) {
    ScoreRecord& record = run.scores[i];
    record.method = Method::exact;
    record.measured = scores::Measured::all();
    record.flags.clear();
    record.estimates.clear();
    record.local.reset();
  }
  variant_run_.timed("refine", [&] { measure(exact, refined.targets, run, progress); });
  variant_run_.report().add_earlier("refine", {.seconds = exact.report().earlier_s});
}

}  // namespace qsweep::sweep
