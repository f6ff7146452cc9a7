// What modes and methods mean, in a sentence or two each.
#pragma once

#include <string_view>

#include "scores/record.h"

namespace qsweep::report {

std::string_view mode_text(scores::Mode mode);
std::string_view method_text(scores::Method method);

}  // namespace qsweep::report
