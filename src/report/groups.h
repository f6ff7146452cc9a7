// Groups of ops that were measured together.
#pragma once

#include <string>
#include <vector>

#include "scores/run.h"

namespace qsweep::report {

// Those with the ranking metric, the largest error first.
std::vector<const scores::GroupScore*> largest_first(const scores::Run& run);
// For one of these, by the ranking metric: what its ops' single scores add up to, a mean per position; and
// the group's own error over that. NaN where an op has no exact score.
double ops_per_position(const scores::Run& run, const scores::GroupScore& group);
double ratio_to_ops(const scores::Run& run, const scores::GroupScore& group);

// Empty for a run without groups.
std::string group_section(const scores::Run& run);

}  // namespace qsweep::report
