// The sections about the run as a whole.
#pragma once

#include <string>

#include "scores/record.h"

namespace qsweep::report {

// Model, data, settings, and what the run took. What is missing in settings or provenance is left out.
std::string run_section(const scores::Run& run);
std::string baseline_section(const scores::Run& run);
std::string reliability_section(const scores::Run& run);
// Scores without metrics: how many by format and status, and which ops.
std::string unscored_section(const scores::Run& run);

}  // namespace qsweep::report
