#include "sweep/refinement.h"

#include <algorithm>

#include "sweep/estimate.h"
#include "sweep/verify.h"

namespace qsweep::sweep {

std::vector<size_t> worth_measuring(const scores::Run& run, scores::Metric metric, bool all) {
  std::vector<std::pair<size_t, size_t>> ranked;  // place within the format, record
  for (const scores::ScoreGroup& group : scores::group_scores(run)) {
    std::vector<size_t> members;
    size_t flagged = 0;
    for (const size_t i : group.members)
      if (run.scores[i].status == scores::Status::ok) members.push_back(i);
    for (const size_t i : members) flagged += run.scores[i].has_flag(kNonlinearFlag) ? 1 : 0;
    const auto key = [&](size_t i) {
      return std::pair(!run.scores[i].has_flag(kNonlinearFlag), -total_error(run.scores[i], metric));
    };
    std::stable_sort(members.begin(), members.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
    const size_t share = static_cast<size_t>(kRefinedShare * static_cast<double>(members.size()));
    if (!all) members.resize(std::min(members.size(), std::max({flagged, share, kLeastRefined})));
    for (size_t place = 0; place < members.size(); ++place) ranked.emplace_back(place, members[place]);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<size_t> records;
  for (const auto& [place, record] : ranked) records.push_back(record);
  return records;
}

}  // namespace qsweep::sweep
