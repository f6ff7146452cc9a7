#include "report/ranked.h"

#include <algorithm>

namespace qsweep::report {

using namespace scores;

namespace {

constexpr double kMostOfTheError = 0.8;

}  // namespace

Ranking make_ranking(const Run& run, const ScoreGroup& group) {
  Ranking ranking{run, group, {}};
  for (size_t i : group.members)
    if (run.scores[i].rank) ranking.scores.push_back(&run.scores[i]);
  std::sort(ranking.scores.begin(), ranking.scores.end(),
            [](const ScoreRecord* a, const ScoreRecord* b) { return *a->rank < *b->rank; });
  ranking.everything = find_baseline(run.baselines, group.format);
  for (const ScoreRecord* score : ranking.scores) ranking.summed += ranking.value(*score);
  return ranking;
}

double Ranking::relative(const ScoreRecord& score) const {
  if (additive()) return share(value(score));
  if (!everything || local()) return kUndefined;
  const double all = everything->sum(run.ranking_metric);
  const double part = group.mode == Mode::leave_one_out ? all - value(score) : value(score);
  return all > 0 ? part / all : kUndefined;
}

Concentration Ranking::concentration() const {
  if (!additive() || !(summed > 0)) return {};
  double reached = 0;
  size_t n = 0;
  while (n < scores.size() && reached < kMostOfTheError * summed) reached += value(*scores[n++]);
  return {n, share(reached)};
}

bool Ranking::any_has(Metric metric) const {
  return std::any_of(scores.begin(), scores.end(), [&](const auto* s) { return s->has(metric); });
}

bool Ranking::any_estimate(std::string_view name) const {
  return std::any_of(scores.begin(), scores.end(),
                     [&](const auto* s) { return s->estimate(name).has_value(); });
}

}  // namespace qsweep::report
