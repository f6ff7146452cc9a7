#include "scores/schema_check.h"

#include <cmath>
#include <set>
#include <tuple>
#include <utility>

namespace qsweep::scores {
namespace {

// A spread score names an op that was measured for the same ranking.
void check_representatives(const Run& run, const std::string& where) {
  std::set<std::tuple<std::string, std::string, Mode>> measured;  // op, format, mode
  for (const ScoreRecord& score : run.scores)
    if (score.status == Status::ok) measured.insert({run.ops[score.op].name, score.format, score.mode});
  for (size_t i = 0; i < run.scores.size(); ++i) {
    const ScoreRecord& score = run.scores[i];
    if (score.status == Status::spread && !measured.contains({*score.spread_from, score.format, score.mode}))
      fail(
          "{}: scores[{}]: \"spread_from\": expected an op with status ok in the same format and mode, found "
          "\"{}\"",
          where, i, *score.spread_from);
  }
}

void check_pairs(const Run& run, const ScoreGroup& group, const std::string& where) {
  for (size_t i = 1; i < group.members.size(); ++i) {
    const size_t before = group.members[i - 1], here = group.members[i];
    if (run.scores[before].op == run.scores[here].op)
      fail("{}: scores[{}]: expected one score of {} in {}, {}, {}, found another: scores[{}]", where, here,
           run.ops[static_cast<size_t>(run.scores[here].op)].name, group.format, name(group.mode),
           name(group.method), before);
  }
}

void check_ranks(const Run& run, const ScoreGroup& group, const std::string& where) {
  std::vector<size_t> ranked, by_rank;
  for (const size_t i : group.members)
    if (!std::isnan(ranking_value(run, run.scores[i]))) ranked.push_back(i);
  by_rank.resize(ranked.size(), run.scores.size());
  for (const size_t i : ranked) {
    const auto& rank = run.scores[i].rank;
    if (!rank || *rank > static_cast<int64_t>(ranked.size()))
      fail("{}: scores[{}]: \"rank\": expected one from 1 to {}, found {}", where, i, ranked.size(),
           rank ? std::to_string(*rank) : "null");
    size_t& place = by_rank[static_cast<size_t>(*rank) - 1];
    if (place < run.scores.size())
      fail("{}: scores[{}]: \"rank\": expected one of its own, found {} as in scores[{}]", where, i, *rank,
           place);
    place = i;
  }
  const double sign = group.mode == Mode::leave_one_out ? 1 : -1;
  for (size_t r = 1; r < by_rank.size(); ++r) {
    const ScoreRecord& above = run.scores[by_rank[r - 1]];
    const ScoreRecord& below = run.scores[by_rank[r]];
    if (sign * ranking_value(run, above) <= sign * ranking_value(run, below)) continue;
    fail("{}: scores[{}]: \"rank\": expected the order of {}, found {} before scores[{}] with {}", where,
         by_rank[r - 1], ranked_by(run, above), ranking_value(run, above), by_rank[r],
         ranking_value(run, below));
  }
}

// All that is measured is measured on all of the data.
class PositionCheck {
 public:
  void see(const Measurement& m, const std::string& where) {
    if (!m.total) return;
    for (const Scope scope : kAllScopes) {
      const MetricSums& sums = m.total->of(scope);
      std::optional<MetricSums>& first = scope == Scope::all ? all_ : answer_;
      if (!first) first = sums;
      if (sums.positions != first->positions || sums.targets != first->targets)
        fail("{}: metrics: {}: expected {} positions and {} targets as before it, found {} and {}", where,
             name(scope), first->positions, first->targets, sums.positions, sums.targets);
    }
  }

 private:
  std::optional<MetricSums> all_, answer_;
};

void check_positions(const Run& run, const std::string& where) {
  PositionCheck positions;
  for (size_t i = 0; i < run.baselines.size(); ++i)
    positions.see(run.baselines[i], fmt::format("{}: baselines[{}]", where, i));
  for (size_t i = 0; i < run.groups.size(); ++i)
    positions.see(run.groups[i], fmt::format("{}: groups[{}]", where, i));
  for (size_t i = 0; i < run.scores.size(); ++i)
    positions.see(run.scores[i], fmt::format("{}: scores[{}]", where, i));
}

void check_groups(const Run& run, const std::string& where) {
  std::set<std::pair<std::string, std::string>> seen;
  for (size_t i = 0; i < run.groups.size(); ++i)
    if (!seen.insert({run.groups[i].name, run.groups[i].format}).second)
      fail("{}: groups[{}]: \"{}\" is there twice in {}", where, i, run.groups[i].name, run.groups[i].format);
}

void check_baselines(const Run& run, const std::string& where) {
  std::set<std::string> names;
  for (size_t i = 0; i < run.baselines.size(); ++i)
    if (!names.insert(run.baselines[i].name).second)
      fail("{}: baselines[{}]: \"name\": \"{}\" is there twice", where, i, run.baselines[i].name);
}

}  // namespace

void check(const Run& run, const std::string& where) {
  check_representatives(run, where);
  check_baselines(run, where);
  check_groups(run, where);
  for (const ScoreGroup& group : group_scores(run)) {
    check_pairs(run, group, where);
    check_ranks(run, group, where);
  }
  check_positions(run, where);
}

}  // namespace qsweep::scores
