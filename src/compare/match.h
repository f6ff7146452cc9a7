// Which ops of a run another tool's scores are of.
#pragma once

#include "compare/agreement.h"

namespace qsweep::compare {

// Fills units (without ranks) and the lists of what is on one side only.
void match(const std::vector<scores::OpRecord>& ops, Agreement& agreement);

}  // namespace qsweep::compare
