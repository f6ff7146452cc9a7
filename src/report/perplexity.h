// The change of the perplexity, which can mislead.
#pragma once

#include <string>
#include <vector>

#include "scores/record.h"

namespace qsweep::report {

// "1.02 [0.99, 1.05]".
std::string perplexity_cell(const scores::Measurement& m, scores::Scope scope);

// A sentence where a ratio is below 1; else empty. Each is a measurement with its name.
std::string perplexity_note(const std::vector<std::pair<std::string, const scores::Measurement*>>& measured);

}  // namespace qsweep::report
