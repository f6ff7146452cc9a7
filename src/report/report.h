// The report of a run, for people.
#pragma once

#include <optional>
#include <string>

#include "scores/run.h"

namespace qsweep::report {

// The report of a finalized run as Markdown: warnings, everything quantized at once, the ranking per format,
// mode and method, reliability, agreement of the scopes, verified scores, what has no score, what was run,
// where the time went, and how to read it.
std::string markdown(const scores::Run& run);

// Replaces report.md in the folder atomically.
void write_report(const scores::Run& run, const std::string& folder);

// Reads scores.json of the folder and rewrites report.md and scores.csv from it, ranked by `metric` where it
// is given.
void from_folder(const std::string& folder, const std::optional<scores::Metric>& metric = {});

}  // namespace qsweep::report
