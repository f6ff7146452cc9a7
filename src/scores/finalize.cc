#include "scores/finalize.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <span>
#include <unordered_map>

#include "base/rng.h"
#include "base/stats.h"
#include "scores/interval.h"

namespace qsweep::scores {
namespace {

constexpr size_t kMinReliabilityOps = 3;
constexpr const char* kLocalNonFinite = "local_non_finite";

// No total where a measured sum is not finite.
void sum_up(Measurement& m) {
  m.intervals = {};
  m.total.emplace();
  for (const ScopedSums& sample : m.per_sample) m.total->add(sample);
  if (!finite(*m.total, m.measured))
    m.total.reset();
  else
    blank_unmeasured(*m.total, m.measured);
}

void add_flag(ScoreRecord& score, const char* flag) {
  if (!score.has_flag(flag)) score.flags.push_back(flag);
}

void check_contract(const Run& run) {
  const auto samples = static_cast<size_t>(run.data.samples);
  for (const ScoreRecord& score : run.scores) {
    QSWEEP_CHECK(score.op >= 0 && static_cast<size_t>(score.op) < run.ops.size(), "score of op {}", score.op);
    const size_t sums = has_samples(score.method) ? samples : 1;
    QSWEEP_CHECK(score.status != Status::ok || (samples > 0 && score.per_sample.size() == sums),
                 "{} has sums of {} of {} samples", run.ops[score.op].name, score.per_sample.size(), samples);
    QSWEEP_CHECK((score.status == Status::spread) <= score.spread_from.has_value(),
                 "{} is spread from nothing", run.ops[score.op].name);
    QSWEEP_CHECK(score.method != Method::automatic, "{}: auto is no method of a score",
                 run.ops[score.op].name);
    QSWEEP_CHECK(score.method != Method::local || score.measured == Measured::none(),
                 "{} has metrics by the method local", run.ops[score.op].name);
  }
  for (const GroupScore& group : run.groups)
    QSWEEP_CHECK(group.status != Status::ok || (samples > 0 && group.per_sample.size() == samples),
                 "{} has sums of {} of {} samples", group.name, group.per_sample.size(), samples);
  for (const Baseline& baseline : run.baselines)
    QSWEEP_CHECK(samples > 0 && baseline.per_sample.size() == samples, "{} has sums of {} of {} samples",
                 baseline.name, baseline.per_sample.size(), samples);
}

bool flips_many(const Run& run, std::string_view format) {
  const Baseline* const everything = find_baseline(run.baselines, format);
  return everything != nullptr && everything->flipped_rows.value_or(0) >= kManyFlippedRows;
}

void conclude(ScoreRecord& score) {
  score.rank.reset();
  score.total.reset();
  score.intervals = {};
  if (score.status == Status::ok) {
    sum_up(score);
    if (!score.total) score.status = Status::non_finite;
  }
  std::erase_if(score.estimates, [](const auto& e) { return !std::isfinite(e.second); });
  if (score.status != Status::ok || (score.local && score.local->rows == 0)) score.local.reset();
  if (score.local && !score.local->finite()) {
    score.local.reset();
    add_flag(score, kLocalNonFinite);
  }
  if (score.method != Method::exact && carries_metrics(score.status)) add_flag(score, "approximate");
}

std::vector<ScoreRecord*> ok_scores(Run& run, const ScoreGroup& group) {
  std::vector<ScoreRecord*> scores;
  for (size_t i : group.members)
    if (run.scores[i].status == Status::ok) scores.push_back(&run.scores[i]);
  return scores;
}

void spread_metrics(Run& run, const ScoreGroup& group) {
  std::unordered_map<std::string, const ScoreRecord*> by_name;
  for (size_t i : group.members)
    if (run.scores[i].status != Status::spread) by_name[run.ops[run.scores[i].op].name] = &run.scores[i];
  for (size_t i : group.members) {
    ScoreRecord& score = run.scores[i];
    if (score.status != Status::spread) continue;
    const auto from = by_name.find(*score.spread_from);
    QSWEEP_CHECK(from != by_name.end(), "{} is spread from {}, which has no score", run.ops[score.op].name,
                 *score.spread_from);
    const ScoreRecord& representative = *from->second;
    if (!carries_metrics(representative.status)) {
      score.status = representative.status;
      score.spread_from.reset();
      continue;
    }
    static_cast<Measurement&>(score) = representative;
    score.per_sample.clear();
    score.method = representative.method;
    score.flags = representative.flags;
    std::erase(score.flags, kLocalNonFinite);
    score.estimates = representative.estimates;
  }
}

void rank_group(Run& run, const ScoreGroup& group) {
  std::vector<ScoreRecord*> ranked;
  for (size_t i : group.members)
    if (!std::isnan(ranking_value(run, run.scores[i]))) ranked.push_back(&run.scores[i]);
  const double sign = group.mode == Mode::leave_one_out ? 1 : -1;
  // Members come in op order, which a stable sort keeps among equals.
  std::stable_sort(ranked.begin(), ranked.end(), [&](const ScoreRecord* a, const ScoreRecord* b) {
    return sign * ranking_value(run, *a) < sign * ranking_value(run, *b);
  });
  for (size_t i = 0; i < ranked.size(); ++i) ranked[i]->rank = static_cast<int64_t>(i) + 1;
}

// Correlations between random halves of the samples.
struct SplitHalves {
  double correlations = 0;
  int64_t splits = 0;

  std::optional<double> mean() const {
    return splits == 0 ? std::nullopt : std::optional(correlations / static_cast<double>(splits));
  }
};

// Every group sees the same splits: the draw depends on (seed, split) only.
SplitHalves compare_halves(std::span<ScoreRecord* const> scores, size_t samples, Metric metric,
                           uint64_t seed) {
  SplitHalves halves;
  std::vector<size_t> order(samples);
  std::vector<double> first(scores.size()), second(scores.size());
  for (uint64_t split = 0; split < kReliabilitySplits; ++split) {
    std::iota(order.begin(), order.end(), size_t{0});
    Rng(seed, split).shuffle(std::span(order));
    for (size_t i = 0; i < scores.size(); ++i) {
      first[i] = second[i] = 0;
      for (size_t s = 0; s < samples; ++s)
        (s < samples / 2 ? first : second)[i] +=
            sum(scores[i]->per_sample[order[s]].of(metric.scope), metric.which);
    }
    const double correlation = spearman(first, second);
    if (std::isnan(correlation)) continue;
    halves.correlations += correlation;
    ++halves.splits;
  }
  return halves;
}

std::optional<Reliability> reliability_of(Run& run, const ScoreGroup& group, uint64_t seed) {
  const auto samples = static_cast<size_t>(run.data.samples);
  if (samples < 2) return std::nullopt;
  Reliability reliability{.format = group.format, .mode = group.mode, .method = group.method};
  bool known = false;
  for (size_t i = 0; i < kAllScopes.size(); ++i) {
    const Metric metric{run.ranking_metric.which, kAllScopes[i]};
    std::vector<ScoreRecord*> scores = ok_scores(run, group);
    std::erase_if(scores, [&](const ScoreRecord* score) { return !score->has(metric); });
    if (scores.size() < kMinReliabilityOps) continue;
    const SplitHalves halves = compare_halves(scores, samples, metric, seed);
    reliability.by_scope[i] = halves.mean();
    if (metric != run.ranking_metric || !halves.mean()) continue;
    known = true;
    reliability.spearman = *halves.mean();
    reliability.splits = halves.splits;
  }
  return known ? std::optional(reliability) : std::nullopt;
}

// Intervals of the ok scores of one group; those of one method are judged together.
void fill_group(Run& run, const ScoreGroup& group, StudentT95& t) {
  std::map<Method, std::vector<IntervalInput>> inputs;
  for (ScoreRecord* score : ok_scores(run, group))
    inputs[score->method].push_back({score, score->estimate(kRelativeStandardError).value_or(0)});
  for (const auto& [method, variants] : inputs) fill_intervals(variants, run.ranking_metric, t);
}

// Intervals of the groups in one format are judged together.
void conclude_groups(Run& run, StudentT95& t) {
  std::map<std::string, std::vector<IntervalInput>> inputs;
  for (GroupScore& group : run.groups) {
    group.total.reset();
    group.intervals = {};
    if (group.status != Status::ok) continue;
    sum_up(group);
    if (!group.total)
      group.status = Status::non_finite;
    else
      inputs[group.format].push_back({&group});
  }
  for (const auto& [format, groups] : inputs) fill_intervals(groups, run.ranking_metric, t);
}

}  // namespace

void finalize(Measurement& alone) {
  sum_up(alone);
  if (!alone.total) return;
  StudentT95 t;
  const IntervalInput input{&alone};
  fill_intervals({&input, 1}, {}, t);
}

void finalize(Run& run, Metric ranking, uint64_t seed) {
  check_contract(run);
  run.ranking_metric = ranking;
  run.settings["metric"] = name(ranking);
  run.reliability.clear();
  StudentT95 t;
  for (Baseline& baseline : run.baselines) {
    finalize(baseline);
    if (baseline.format.empty()) baseline.format = format_of_baseline(baseline.name);
  }
  for (ScoreRecord& score : run.scores) {
    conclude(score);
    if (score.has_flag("approximate") && flips_many(run, score.format)) add_flag(score, kFlipsFlag);
  }
  conclude_groups(run, t);
  for (const ScoreGroup& group : group_scores(run)) {
    fill_group(run, group, t);
    spread_metrics(run, group);
    rank_group(run, group);
    if (const auto reliability = reliability_of(run, group, seed)) run.reliability.push_back(*reliability);
  }
}

void rank_by(Run& run, Metric ranking) {
  const auto is_measured = [&](Metric metric) {
    return std::any_of(run.scores.begin(), run.scores.end(),
                       [&](const ScoreRecord& score) { return !std::isnan(score.per_position(metric)); });
  };
  if (!is_measured(ranking)) {
    std::vector<std::string> measured;
    for (const Metric metric : kRankingMetrics)
      if (is_measured(metric)) measured.push_back(name(metric));
    fail("expected a metric that the run has scores of ({}), found {}",
         measured.empty() ? "none" : fmt::format("{}", fmt::join(measured, ", ")), name(ranking));
  }
  if (ranking == run.ranking_metric) return;
  run.reranked_from = run.reranked_from.value_or(run.ranking_metric);
  const bool same_kind = ranking.which == run.ranking_metric.which;
  for (Reliability& r : run.reliability) {
    if (!same_kind) r.by_scope = {};
    r.spearman = r.by_scope[static_cast<size_t>(ranking.scope)].value_or(NAN);
  }
  std::erase_if(run.reliability, [](const Reliability& r) { return std::isnan(r.spearman); });
  run.ranking_metric = ranking;
  run.settings["metric"] = name(ranking);
  for (ScoreRecord& score : run.scores) score.rank.reset();
  for (const ScoreGroup& group : group_scores(run)) rank_group(run, group);
}

}  // namespace qsweep::scores
