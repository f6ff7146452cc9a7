// The part of the view that is of one run's scores.
#pragma once

#include "io/json.h"
#include "scores/run.h"

namespace qsweep::report {

// Six significant digits; null where not finite.
io::Json rounded(double value);
io::Json rounded(const std::optional<scores::Interval>& interval);  // [low, high]

// Headline, summary, warnings, ops as columns, everything quantized, and every ranked group: its verdict,
// what its values are, and its scores as columns.
io::Json run_view(const scores::Run& run);

}  // namespace qsweep::report
