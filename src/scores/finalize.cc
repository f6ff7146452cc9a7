#include "scores/finalize.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "base/rng.h"
#include "base/stats.h"
#include "scores/interval.h"

namespace qsweep::scores {
namespace {

constexpr size_t kMinReliabilityOps = 3;

ScopedSums total_of(std::span<const ScopedSums> per_sample) {
  ScopedSums total;
  for (const ScopedSums& sample : per_sample) total.add(sample);
  return total;
}

void add_flag(ScoreRecord& score, const char* flag) {
  if (std::find(score.flags.begin(), score.flags.end(), flag) == score.flags.end())
    score.flags.push_back(flag);
}

void clear_metrics(ScoreRecord& score) {
  score.total.reset();
  score.intervals = {};
  score.rank.reset();
}

void check_contract(const Run& run) {
  const auto samples = static_cast<size_t>(run.data.samples);
  for (const ScoreRecord& score : run.scores) {
    QSWEEP_CHECK(score.op >= 0 && static_cast<size_t>(score.op) < run.ops.size(), "score of op {}", score.op);
    QSWEEP_CHECK(score.status != Status::ok || (samples > 0 && score.per_sample.size() == samples),
                 "{} has sums of {} of {} samples", run.ops[score.op].name, score.per_sample.size(), samples);
    QSWEEP_CHECK((score.status == Status::spread) <= score.spread_from.has_value(),
                 "{} is spread from nothing", run.ops[score.op].name);
  }
  for (const Baseline& baseline : run.baselines)
    QSWEEP_CHECK(samples > 0 && baseline.per_sample.size() == samples, "{} has sums of {} of {} samples",
                 baseline.name, baseline.per_sample.size(), samples);
}

void sum_up(ScoreRecord& score) {
  clear_metrics(score);
  if (score.status == Status::ok) {
    const ScopedSums total = total_of(score.per_sample);
    if (total.finite())
      score.total = total;
    else
      score.status = Status::non_finite;
  }
  if (score.status != Status::ok || (score.local && score.local->rows == 0)) score.local.reset();
  if (score.local && !score.local->finite()) {
    score.local.reset();
    add_flag(score, "local_non_finite");
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
    if (!carries_metrics(from->second->status)) score.status = from->second->status;
    score.total = from->second->total;
    score.intervals = from->second->intervals;
  }
}

void rank_group(Run& run, const ScoreGroup& group) {
  std::vector<ScoreRecord*> ranked;
  for (size_t i : group.members)
    if (carries_metrics(run.scores[i].status)) ranked.push_back(&run.scores[i]);
  const Metric metric = run.ranking_metric;
  const double sign = group.mode == Mode::leave_one_out ? 1 : -1;
  // Members come in op order, which a stable sort keeps among equals.
  std::stable_sort(ranked.begin(), ranked.end(), [&](const ScoreRecord* a, const ScoreRecord* b) {
    return sign * sum(a->total->of(metric.scope), metric.which) <
           sign * sum(b->total->of(metric.scope), metric.which);
  });
  for (size_t i = 0; i < ranked.size(); ++i) ranked[i]->rank = static_cast<int64_t>(i) + 1;
}

// Every group sees the same splits: the draw depends on (seed, split) only.
std::optional<Reliability> reliability_of(Run& run, const ScoreGroup& group, uint64_t seed) {
  const std::vector<ScoreRecord*> scores = ok_scores(run, group);
  const auto samples = static_cast<size_t>(run.data.samples);
  if (samples < 2 || scores.size() < kMinReliabilityOps) return std::nullopt;
  const Metric metric = run.ranking_metric;
  double correlations = 0;
  int64_t splits = 0;
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
    correlations += correlation;
    ++splits;
  }
  if (splits == 0) return std::nullopt;
  return Reliability{group.format, group.mode, group.method, correlations / static_cast<double>(splits),
                     splits};
}

void finalize_baseline(Baseline& baseline, StudentT95& t) {
  baseline.intervals = {};
  baseline.total = total_of(baseline.per_sample);
  if (!baseline.total->finite()) {
    baseline.total.reset();
    return;
  }
  const IntervalInput input{baseline.per_sample, &baseline.intervals};
  fill_intervals({&input, 1}, t);
}

}  // namespace

void finalize(Run& run, Metric ranking, uint64_t seed) {
  check_contract(run);
  run.ranking_metric = ranking;
  run.settings["metric"] = name(ranking);
  run.reliability.clear();
  StudentT95 t;
  for (Baseline& baseline : run.baselines) finalize_baseline(baseline, t);
  for (ScoreRecord& score : run.scores) sum_up(score);
  for (const ScoreGroup& group : group_scores(run)) {
    std::vector<IntervalInput> inputs;
    for (ScoreRecord* score : ok_scores(run, group)) inputs.push_back({score->per_sample, &score->intervals});
    fill_intervals(inputs, t);
    spread_metrics(run, group);
    rank_group(run, group);
    if (const auto reliability = reliability_of(run, group, seed)) run.reliability.push_back(*reliability);
  }
}

}  // namespace qsweep::scores
