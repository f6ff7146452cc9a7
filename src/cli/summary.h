// What is said of a finished run of `score`.
#pragma once

#include <string>

#include "cli/output.h"
#include "scores/run.h"

namespace qsweep::cli {

// The first of every ranking and where the time went, for people, or with --json for programs.
io::Json summary_json(const scores::Run& run, const std::string& out, bool inc);
void summarize(const Output& output, const scores::Run& run, const std::string& out, bool inc);

}  // namespace qsweep::cli
