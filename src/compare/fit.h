// Whether two sides are of the same question: format, mode, model, data and ops.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "compare/agreement.h"

namespace qsweep::compare {

// The kind of numbers in a format's name, ours or another tool's: "INT8" of w8a8, modelopt_int8 and
// INT8_DEFAULT_CFG. Empty where the name does not tell.
std::string_view kind_of_format(std::string_view name);

// A sentence for everything that does not fit together; without the full stop.
std::vector<std::string> misfits(const Agreement& agreement);

}  // namespace qsweep::compare
