// The report of a run, for people.
#pragma once

#include <string>

#include "scores/run.h"

namespace qsweep::report {

// The report of a finalized run as Markdown: warnings, what was run, everything quantized at once,
// reliability, verified scores, the ranking per format, mode and method, what has no score, where the time
// went, and how to read it.
std::string markdown(const scores::Run& run);

// Replaces report.md in the folder atomically.
void write_report(const scores::Run& run, const std::string& folder);

// Reads scores.json of the folder and rewrites report.md and scores.csv from it.
void from_folder(const std::string& folder);

}  // namespace qsweep::report
