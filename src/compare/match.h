// Which ops of a run another tool's scores are of.
#pragma once

#include "compare/agreement.h"

namespace qsweep::compare {

// A score of the other side that is of ops which the run knows, whether or not the run scored them.
struct Placed {
  std::string tower;
  double score = 0;
};

// Fills units (without ranks) and the lists of what is on one side only.
std::vector<Placed> match(const std::vector<scores::OpRecord>& ops, Agreement& agreement);

}  // namespace qsweep::compare
