#include "scores/run.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace qsweep::scores {

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
