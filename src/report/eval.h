// The report of evaluated recipes, for people.
#pragma once

#include <string>

#include "scores/eval.h"

namespace qsweep::report {

// As Markdown: warnings, what was run, a row per recipe, and what scores predicted beside what was measured.
std::string eval_markdown(const scores::EvalRun& run);

// Replaces eval.md in the folder atomically.
void write_eval_report(const scores::EvalRun& run, const std::string& folder);

}  // namespace qsweep::report
