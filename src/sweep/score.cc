#include "sweep/score.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "scores/finalize.h"
#include "scores/run.h"
#include "sweep/records.h"
#include "sweep/refinement.h"

namespace qsweep::sweep {
namespace {

using scores::Method;
using scores::ScoreRecord;

// With a time budget auto goes on, in rounds that are foretold to take this share of the time that is left,
// or that finish within the other; until less than the last one of the budget is left.
constexpr double kRoundShareOfTime = 0.7, kSafeShareOfTime = 0.85, kLeastShareOfBudget = 0.05;

// What is measured exactly from the start: with estimated scores only the baselines.
std::vector<pass::VariantId> exact_variants(const Outlook& outlook, Method method) {
  std::vector<pass::VariantId> variants = all_of(outlook.variants);
  if (method != Method::exact)
    std::erase_if(variants, [&](pass::VariantId v) { return !at(outlook.variants, v).carried; });
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

scores::Sketches no_sketches(const Setting& setting, const ScoreOptions& options, const scores::Run& run) {
  std::vector<std::vector<uint8_t>> answers;
  for (const models::Sample& sample : setting.data) {
    std::vector<uint8_t>& next = answers.emplace_back(sample.answer_mask);
    next.erase(next.begin());
    next.push_back(0);
  }
  std::vector<size_t> ok;
  for (size_t i = 0; i < run.scores.size(); ++i)
    if (run.scores[i].status == scores::Status::ok) ok.push_back(i);
  for (size_t i = 0; i < run.groups.size(); ++i)
    if (run.groups[i].status == scores::Status::ok) ok.push_back(part_of_group(run, i));
  return {options.metric.which, options.sketch, answers, std::move(ok)};
}

size_t part_of(const scores::Run& run, Target target) {
  return target.kind == Target::Kind::group ? part_of_group(run, target.index) : target.index;
}

template <class Score>
void leave_unexercised(Score& score) {
  score.status = scores::Status::unexercised;
  score.per_sample.clear();
}

// Whether no row of the data came to the ops at which a leaf leaves its parent: to experts that no token
// chose.
bool never_forked(const Outlook& outlook, pass::VariantId v, const std::set<pass::VariantId>& told,
                  const scores::Run& run) {
  const pass::Variant& variant = at(outlook.variants, v);
  if (variant.carried) return false;
  if (variant.parent == pass::kReference) return !told.contains(v);
  // A leaf of another parent is told as what its parent is.
  const Target& target = at(outlook.targets, v).front();
  if (target.kind != Target::Kind::score) return false;
  const ScoreRecord& score = run.scores[target.index];
  return variant.overrides.size() == 1 && variant.overrides.front().op == score.op && !score.local;
}

kernels::GemmCount all_products(const schedule::Devices& devices) {
  using kernels::GemmPurpose;
  kernels::GemmCount sum;
  for (const auto purpose : {GemmPurpose::reference, GemmPurpose::deltas, GemmPurpose::cotangents})
    sum.add(devices.products(purpose));
  return sum;
}

bool squared_errors_alone(const ScoreOptions& o) {
  const auto squared = [](scores::Metric m) {
    return m.which == scores::Which::logits_sse || m.which == scores::Which::hidden_sse;
  };
  return o.method == Method::exact && !o.metrics.empty() && squared(o.metric) &&
         std::all_of(o.metrics.begin(), o.metrics.end(), squared);
}

// Of the baselines and estimates. Where nothing else is measured, the reference's last bits do not matter.
Setting first_setting(Setting setting, Method method) {
  if (method != Method::exact && method != Method::automatic && !setting.strict)
    setting.devices.set_f32_rows(kernels::F32Rows::in_two_parts);
  return setting;
}

Setting in_f32(Setting setting) {
  setting.strict = true;
  setting.sketch.width = 0;
  return setting;
}

}  // namespace

Sweep::Sweep(const models::Model& model, const schedule::Devices& devices,
             const std::vector<models::Sample>& data, const std::vector<models::Sample>& calibration,
             ScoreOptions options)
    : setting_{model,
               devices,
               data,
               calibration,
               options.f32_deltas(),
               options.memory_bytes,
               squared_errors_alone(options),
               {options.sketch, options.metric.which, options.seed}},
      options_(std::move(options)),
      outlook_(make_outlook(model, data, calibration, options_)),
      variant_run_(first_setting(setting_, options_.method), outlook_.variants,
                   exact_variants(outlook_, options_.method)) {
  if (options_.method == Method::exact) return;
  estimator_.emplace(first_setting(setting_, options_.method), estimate_options(options_), outlook_.records);
  if (estimator_->walks_back()) variant_run_.leave_reference();
}

void Sweep::keep(const schedule::Keeping& keeping) {
  keeping_ = keeping;
  variant_run_.keep(keeping, "sweep");
  if (estimator_) estimator_->keep(keeping);
}

void Sweep::prepare() {
  start_s_ = now_s();
  variant_run_.prepare(schedule::base_bytes_of(setting_.devices.first().device(), results_bytes()));
  if (estimator_)
    variant_run_.report().timed(
        "plan", [&] { estimator_->prepare(variant_run_.reference_is_left(), plan().base_bytes); });
  if (options_.verify > 0) variant_run_.report().timed("plan", [&] { plan_verification(); });
}

// Of the records with their sums per sample, as far as the method has them, and of what is written in the
// end.
int64_t Sweep::results_bytes() const {
  constexpr int64_t kWrittenBytes = 16 << 10;  // of a record, as JSON
  const auto samples = static_cast<int64_t>(setting_.data.size());
  const int64_t scored = std::ranges::count(outlook_.records, scores::Status::ok, &ScoreRecord::status);
  int64_t summed =
      std::ssize(outlook_.baselines) + std::ssize(outlook_.groups) + std::min(options_.verify, scored) + 1;
  if (options_.method != Method::local) summed += scored;
  return sketch_bytes() + summed * samples * int64_t{sizeof(scores::ScopedSums)} +
         (std::ssize(outlook_.records) + std::ssize(outlook_.groups)) *
             (int64_t{sizeof(ScoreRecord)} + kWrittenBytes) +
         (estimator_ ? estimator_->results_bytes() : 0);
}

int64_t Sweep::sketch_bytes() const {
  if (options_.sketch == 0) return 0;
  int64_t tokens = 0;
  for (const models::Sample& sample : setting_.data) tokens += std::ssize(sample.token_ids);
  const int64_t kept = std::ranges::count(outlook_.records, scores::Status::ok, &ScoreRecord::status) +
                       std::ranges::count(outlook_.groups, scores::Status::ok, &scores::GroupScore::status);
  return kept * (tokens * options_.sketch * int64_t{sizeof(float)} +
                 std::ssize(setting_.data) * int64_t{2 * sizeof(double)});
}

scores::Run Sweep::run(const ProgressObserver& progress) {
  scores::Run run;
  run.joint_ranking = options_.method == Method::automatic;
  run.ops = op_records(setting_.model);
  run.data = data_counts(setting_.data);
  run.scores = outlook_.records;
  run.groups = outlook_.groups;
  run.baselines = outlook_.baselines;
  if (options_.sketch > 0) sketches_ = no_sketches(setting_, options_, run);
  measure(variant_run_, run, progress);
  if (estimator_) estimate(run, progress);
  if (options_.method == Method::automatic) refine(run, progress);
  if (options_.verify > 0) verify(run, progress);
  variant_run_.report().timed("statistics", [&] { scores::finalize(run, options_.metric, options_.seed); });
  if (sketches_) finish_sketches(run);
  return run;
}

void Sweep::measure(VariantRun& variants, scores::Run& run, const ProgressObserver& progress) {
  const auto of = [&](Target target) -> scores::Measurement& {
    if (target.kind == Target::Kind::score) return run.scores[target.index];
    if (target.kind == Target::Kind::group) return run.groups[target.index];
    return run.baselines[target.index];
  };
  for (const pass::VariantId v : variants.live())
    for (const Target target : at(outlook_.targets, v))
      of(target).per_sample = unchanged(setting_.model, setting_.data);
  std::set<pass::VariantId> told;
  const auto metrics = [&](pass::VariantId v, int sample, const scores::ScopedSums& sums) {
    told.insert(v);
    for (const Target target : at(outlook_.targets, v))
      of(target).per_sample[static_cast<size_t>(sample)] = sums;
  };
  const auto local = [&](pass::VariantId v, const scores::LocalStats& stats) {
    // Of a variant that changes more than the scored op, its statistics cannot be told.
    const auto& overrides = at(outlook_.variants, v).overrides;
    for (const Target target : at(outlook_.targets, v)) {
      if (target.kind != Target::Kind::score || overrides.size() != 1 ||
          overrides.front().op != run.scores[target.index].op)
        continue;
      auto& sum = run.scores[target.index].local;
      sum ? sum->add(stats) : void(sum = stats);
    }
  };
  const auto sketch = [&](pass::VariantId v, int sample, const std::vector<float>& values) {
    for (const Target target : at(outlook_.targets, v))
      if (target.kind != Target::Kind::baseline)
        std::ranges::copy(values, sketches_->of(part_of(run, target), sample).begin());
  };
  std::map<pass::VariantId, int64_t> flipped;
  const auto flips = [&](pass::VariantId v, int64_t rows) { flipped[v] += rows; };
  variants.run({.metrics = metrics, .local = local, .flips = flips, .sketch = sketch}, progress);
  const auto routed = static_cast<double>(run.data.tokens * mixtures(setting_.model));
  for (const pass::VariantId v : variants.live())
    for (const Target target : at(outlook_.targets, v)) {
      if (never_forked(outlook_, v, told, run)) {
        target.kind == Target::Kind::score ? leave_unexercised(run.scores[target.index])
                                           : leave_unexercised(run.groups[target.index]);
      } else if (routed > 0) {
        const double share = static_cast<double>(flipped[v]) / routed;
        if (target.kind == Target::Kind::score)
          run.scores[target.index].estimates.emplace_back(scores::kFlippedRows, share);
        if (target.kind == Target::Kind::baseline) run.baselines[target.index].flipped_rows = share;
      }
    }
}

// The errors that stand beside the sketches; and none of scores that are no numbers.
void Sweep::finish_sketches(const scores::Run& run) {
  for (const size_t i : sketches_->scores()) {
    const scores::Measurement& score = part(run, i);
    for (int64_t s = 0; s < sketches_->samples(); ++s) {
      const scores::ScopedSums& sums = score.per_sample[static_cast<size_t>(s)];
      sketches_->error(i, s) = {sum(sums.all, options_.metric.which),
                                sum(sums.answer, options_.metric.which)};
      if (!score.total) std::ranges::fill(sketches_->of(i, s), 0.0f);
    }
  }
}

void Sweep::estimate(scores::Run& run, const ProgressObserver& progress) {
  Progress state{.what = {}, .done_flops = 0, .total_flops = estimator_->plan().flops()};
  const auto report = [&](const std::string& stage, double flops) {
    state.add(stage, flops);
    if (progress) progress(state);
  };
  const kernels::GemmCount before = all_products(setting_.devices);
  variant_run_.report().timed("estimate", [&] {
    estimator_->run(variant_run_.ranges(), variant_run_.reference(), run.scores, report);
  });
  for (ScoreRecord& score : run.scores)
    if (score.status == scores::Status::ok && !score.local) leave_unexercised(score);
  const schedule::Cost earlier = estimator_->earlier();
  variant_run_.report().add_earlier("estimate", earlier.seconds);
  kernels::GemmCount& products = variant_run_.report().estimates;
  products = all_products(setting_.devices).since(before);
  for (const kernels::GemmCount& count : earlier.products) products.add(count);
}

// A run of the variants that give these scores.
VariantRun Sweep::exactly(const Setting& setting, std::span<const size_t> records) const {
  return {setting, outlook_.variants, select_leaves(outlook_, records), variant_run_.ranges()};
}

double Sweep::seconds_left() const {
  if (!options_.time_budget_s) return INFINITY;
  return start_s_ + *options_.time_budget_s - now_s() - report().all_earlier_s();
}

// How many of the records the next round measures: all where there is time for them; else some, so that a
// further round can make up for a wrong prediction. rate: FLOP/s so far.
size_t Sweep::fitting(std::span<const size_t> records, double rate) const {
  const double left = seconds_left();
  if (records.empty() || left < kLeastShareOfBudget * options_.time_budget_s.value_or(0)) return 0;
  const auto seconds = [&](size_t count) {
    VariantRun round = exactly(setting_, records.first(count));
    round.prepare(plan().base_bytes);
    return round.report().plan.flops() / rate;
  };
  if (left == INFINITY || seconds(records.size()) <= kSafeShareOfTime * left) return records.size();
  size_t good = 0, bad = records.size();  // bisect: the time grows with the number
  while (good + 1 < bad) {
    const size_t count = (good + bad) / 2;
    (seconds(count) <= kRoundShareOfTime * left ? good : bad) = count;
  }
  return good;
}

void Sweep::refine(scores::Run& run, const ProgressObserver& progress) {
  const std::vector<size_t> worth = worth_measuring(run, options_.metric, options_.time_budget_s.has_value());
  std::span<const size_t> left = worth;
  double rate = (report().plan.flops() + estimator_->plan().flops()) /
                (report().phases_s.at("sweep") + report().phases_s.at("estimate"));
  for (int n = 0;; ++n) {
    // Kept, since another process would find another number.
    const std::string phase = fmt::format("refine/{}", n);
    size_t count = 0;
    const auto read = [&](io::ByteSource& from) { count = from.get<size_t>(); };
    if (keeping_.journal == nullptr || !keeping_.journal->read(phase + "/count", read)) {
      count = fitting(left, rate);
      if (keeping_.journal != nullptr)
        keeping_.journal->write(phase + "/count", [&](io::ByteSink& to) { to.put(count); });
    }
    if (count == 0) return;
    if (count > left.size()) fail("the journal measures {} of {} scores", count, left.size());
    VariantRun round = exactly(setting_, left.first(count));
    round.keep(keeping_, phase);
    round.prepare(plan().base_bytes);
    for (const size_t i : left.first(count)) {
      ScoreRecord& record = run.scores[i];
      record.method = Method::exact;
      record.measured = scores::Measured::all();
      record.flags.clear();
      record.estimates.clear();
      record.local.reset();
    }
    const double before = now_s();
    variant_run_.report().timed("refine", [&] { measure(round, run, progress); });
    const double earlier = round.report().all_earlier_s();
    variant_run_.report().add_earlier("refine", earlier);
    rate = round.report().plan.flops() / (now_s() - before + earlier);
    left = left.subspan(count);
  }
}

// Whichever scores are chosen in the end, they fit if all of them can be cut into passes.
void Sweep::plan_verification() {
  std::vector<size_t> all(outlook_.records.size());
  std::iota(all.begin(), all.end(), size_t{0});
  VariantRun again = exactly(in_f32(setting_), all);
  again.prepare(plan().base_bytes);
  verify_plan_ = again.report().plan;
}

void Sweep::verify(scores::Run& run, const ProgressObserver& progress) {
  const std::vector<Chosen> chosen =
      choose_for_verification(run, options_.metric, options_.verify, options_.seed);
  std::vector<size_t> records;
  for (const Chosen& c : chosen) records.push_back(c.record);
  VariantRun again = exactly(in_f32(setting_), records);
  again.keep(keeping_, "verify");
  scores::Run measured;
  measured.scores = outlook_.records;
  variant_run_.report().timed("verify", [&] {
    again.prepare(plan().base_bytes);
    measure(again, measured, progress);
  });
  variant_run_.report().add_earlier("verify", again.report().all_earlier_s());
  verify_bytes_ = again.report().plan.peak_bytes();
  for (const auto& [i, top] : chosen) {
    const ScoreRecord& score = run.scores[i];
    run.verification.push_back({.op = score.op,
                                .format = score.format,
                                .mode = score.mode,
                                .method = score.method,
                                .top = top,
                                .metric = options_.metric,
                                .score = total_error(score, options_.metric),
                                .strict = total_error(measured.scores[i], options_.metric)});
  }
}

}  // namespace qsweep::sweep
