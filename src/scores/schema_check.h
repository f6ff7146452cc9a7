// Whether the records of a run that was read fit together.
#pragma once

#include <string>

#include "scores/run.h"

namespace qsweep::scores {

// Error, with the place in the file, where
//   - a spread score names an op that was not measured for the same ranking;
//   - two scores are of one op in one ranking, or two baselines have one name;
//   - ranks are not 1 to n, or contradict what they are ranked by;
//   - scores or baselines are over different numbers of positions.
void check(const Run& run, const std::string& where);

}  // namespace qsweep::scores
