#include "scores/run.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace qsweep::scores {

double mean_value(const Run& run, const ScoreRecord& score) {
  return score.method == Method::local ? ranking_value(run, score) : score.per_position(run.ranking_metric);
}

std::string ranked_by(const Run& run, const ScoreRecord& score) {
  return score.method == Method::local ? "relative_error" : name(run.ranking_metric);
}

std::optional<Interval> ranking_interval(const Run& run, const ScoreRecord& score) {
  if (score.method == Method::local) return std::nullopt;
  return score.intervals.of(run.ranking_metric);
}

const Measurement& part(const Run& run, size_t number) {
  if (number < run.scores.size()) return run.scores[number];
  return run.groups[number - run.scores.size()];
}

std::vector<std::string> op_names(const Run& run, const GroupScore& group) {
  std::vector<std::string> names;
  for (const int op : group.ops) names.push_back(run.ops[static_cast<size_t>(op)].name);
  return names;
}

double sum_of_ops(const Run& run, const GroupScore& group, Metric metric) {
  double sum = 0;
  size_t found = 0;
  for (const ScoreRecord& score : run.scores) {
    if (score.format != group.format || score.mode != Mode::isolated || score.method != Method::exact ||
        !score.has(metric) || std::ranges::find(group.ops, score.op) == group.ops.end())
      continue;
    sum += score.sum(metric);
    ++found;
  }
  return found == group.ops.size() ? sum : NAN;
}

std::vector<ScoreGroup> group_scores(const Run& run) {
  std::vector<ScoreGroup> groups;
  std::map<std::tuple<std::string, Mode, Method>, size_t> place;
  for (size_t i = 0; i < run.scores.size(); ++i) {
    const ScoreRecord& score = run.scores[i];
    const Method method = run.joint_ranking ? Method::automatic : score.method;
    const auto [it, added] = place.try_emplace({score.format, score.mode, method}, groups.size());
    if (added) groups.push_back({score.format, score.mode, method, {}});
    groups[it->second].members.push_back(i);
  }
  for (ScoreGroup& group : groups)
    std::stable_sort(group.members.begin(), group.members.end(),
                     [&](size_t a, size_t b) { return run.scores[a].op < run.scores[b].op; });
  return groups;
}

}  // namespace qsweep::scores
