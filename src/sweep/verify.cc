#include "sweep/verify.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/rng.h"
#include "scores/run.h"

namespace qsweep::sweep {
namespace {

constexpr uint64_t kStream = 0x7665726966790000;  // apart from the reliability's splits

// The scores that can be verified by their place in their format's ranking; formats in turn.
std::vector<size_t> ranked(const scores::Run& run, scores::Metric metric) {
  std::vector<std::pair<size_t, size_t>> places;  // place, record
  for (const scores::ScoreGroup& group : scores::group_scores(run)) {
    const double sign = group.mode == scores::Mode::leave_one_out ? 1 : -1;
    std::vector<std::pair<double, size_t>> members;
    for (const size_t i : group.members) {
      const double total = total_error(run.scores[i], metric);
      if (run.scores[i].status == scores::Status::ok && std::isfinite(total))
        members.emplace_back(sign * total, i);
    }
    std::sort(members.begin(), members.end());
    for (size_t place = 0; place < members.size(); ++place) places.emplace_back(place, members[place].second);
  }
  std::sort(places.begin(), places.end());
  std::vector<size_t> records;
  for (const auto& [place, record] : places) records.push_back(record);
  return records;
}

}  // namespace

std::vector<Chosen> choose_for_verification(const scores::Run& run, scores::Metric metric, int64_t count,
                                            uint64_t seed) {
  std::vector<size_t> records = ranked(run, metric);
  const size_t chosen = std::min(records.size(), static_cast<size_t>(count));
  const size_t top = chosen - chosen / 2;
  Rng(seed, kStream).shuffle(std::span(records).subspan(top));
  std::vector<Chosen> all;
  for (size_t i = 0; i < chosen; ++i) all.push_back({records[i], i < top});
  return all;
}

double total_error(const scores::ScoreRecord& record, scores::Metric metric) {
  double total = 0;
  for (const scores::ScopedSums& sample : record.per_sample)
    total += scores::sum(sample.of(metric.scope), metric.which);
  return total;
}

}  // namespace qsweep::sweep
