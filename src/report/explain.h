// Why an op ranks where it does, from the statistics at the op.
#pragma once

#include <span>
#include <string>

#include "scores/run.h"

namespace qsweep::report {

// Medians over the ops of one group that have local statistics; NaN where there is none.
struct TypicalOp {
  double relative_error;
  double outlier_ratio;
  double cost;  // ranking metric per position over squared relative error at the op
};
TypicalOp typical_op(const scores::Run& run, const scores::ScoreGroup& group);

// One or more sentences, each backed by a number it states.
std::string explain(const scores::Run& run, const scores::ScoreRecord& score, const TypicalOp& typical);

}  // namespace qsweep::report
