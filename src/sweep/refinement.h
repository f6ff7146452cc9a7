// Which estimated scores `auto` measures exactly.
#pragma once

#include <vector>

#include "scores/run.h"

namespace qsweep::sweep {

// Without a time budget at least so many of a format, and this share of them.
inline constexpr size_t kLeastRefined = 10;
inline constexpr double kRefinedShare = 0.25;

// The records to measure, in the order of their worth: of every format the flagged ones (`nonlinear`), then
// those with the largest estimates of the metric; formats in turn. With `all` every estimate; else of a
// format the flagged ones, and at least ten and a quarter of it.
std::vector<size_t> worth_measuring(const scores::Run& run, scores::Metric metric, bool all);

}  // namespace qsweep::sweep
