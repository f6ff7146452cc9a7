// The sections of one ranked group (format, mode, method).
#pragma once

#include <string>

#include "scores/run.h"

namespace qsweep::report {

// The top ops, and for isolated scores, whose errors may be added, what towers and roles contribute and why
// the worst ops are the worst. Empty where the group has no ranked score.
std::string ranking_section(const scores::Run& run, const scores::ScoreGroup& group);

}  // namespace qsweep::report
