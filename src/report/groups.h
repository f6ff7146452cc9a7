// Groups of ops that were measured together.
#pragma once

#include <string>

#include "scores/run.h"

namespace qsweep::report {

// Empty for a run without groups.
std::string group_section(const scores::Run& run);

}  // namespace qsweep::report
