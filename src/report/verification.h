// Scores that were measured once more, beside the run's own.
#pragma once

#include <string>

#include "scores/run.h"

namespace qsweep::report {

// Empty where none was.
std::string verification_section(const scores::Run& run);
// How far the scores are off, in a line; of a run with verified scores.
std::string verification_line(const scores::Run& run);

}  // namespace qsweep::report
