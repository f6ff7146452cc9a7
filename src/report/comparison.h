// The report of a comparison, for people.
#pragma once

#include <string>
#include <vector>

#include "compare/agreement.h"

namespace qsweep::report {

// How each side is to be read, what it cannot tell apart, and what could not be compared; a sentence each.
std::vector<std::string> comparison_notes(const compare::Agreement& agreement);
// "Spearman 0.98, Kendall 0.91, 4 of the top 5, ..."
std::string agreement_text(const compare::Statistics& statistics);

// One after the other where RUN has scores in several formats.
std::string comparison_markdown(const std::vector<compare::Agreement>& agreements);

// Replaces compare.json and compare.md in the folder, each atomically.
void write_comparison(const std::vector<compare::Agreement>& agreements, const std::string& folder);

}  // namespace qsweep::report
