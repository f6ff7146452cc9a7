// The sections about the run as a whole.
#pragma once

#include <string>

#include "scores/eval.h"
#include "scores/run.h"

namespace qsweep::report {

// Model, data, settings, and what the run took. What is missing in settings or provenance is left out.
std::string run_section(const scores::Run& run);
std::string run_section(const scores::EvalRun& run);
// What everything quantized does to the output, and how the errors of single ops add up to it.
std::string baseline_section(const scores::Run& run);
std::string reliability_section(const scores::Run& run);
// Scores without metrics: how many by format and status, and which ops.
std::string unscored_section(const scores::Run& run);

}  // namespace qsweep::report
