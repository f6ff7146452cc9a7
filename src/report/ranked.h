// One group of scores (format, mode, method) in rank order, and what its parts are measured against.
#pragma once

#include <string_view>
#include <vector>

#include "scores/run.h"

namespace qsweep::report {

// The fewest ops that carry most of the summed error.
struct Concentration {
  size_t ops = 0;
  double share = 0;
};

struct Ranking {
  const scores::Run& run;
  const scores::ScoreGroup& group;
  std::vector<const scores::ScoreRecord*> scores;  // those with a rank
  const scores::Baseline* everything = nullptr;    // all:FORMAT
  double summed = 0;                               // ranking metric over all ranked ops

  double value(const scores::ScoreRecord& score) const { return ranking_value(run, score); }
  const scores::OpRecord& op(const scores::ScoreRecord& score) const { return run.ops[score.op]; }
  bool local() const { return group.method == scores::Method::local; }
  // Errors of single ops at the output may be added; what remains in a quantized model may not.
  bool additive() const { return group.mode == scores::Mode::isolated && !local(); }
  // Of the summed error.
  double share(double part) const { return summed > 0 ? part / summed : scores::kUndefined; }
  // Share of the summed error; in leave-one-out what the op's return to float takes off the error of
  // all:FORMAT, in other modes the part of that error. NaN where that is not known.
  double relative(const scores::ScoreRecord& score) const;
  // Carrying 80 %; of no op where errors may not be added or are all zero.
  Concentration concentration() const;

  bool any_has(scores::Metric metric) const;
  bool any_estimate(std::string_view name) const;
};

// The run and the group must outlive it.
Ranking make_ranking(const scores::Run& run, const scores::ScoreGroup& group);

}  // namespace qsweep::report
