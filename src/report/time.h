// Where a run's time went, from its provenance. What is missing there is left out.
#pragma once

#include <string>
#include <string_view>

#include "io/json_fwd.h"

namespace qsweep::report {

// Time by phase, the kinds of work in the long ones, the rate of the products beside the machine's own, and
// what the system had to do. Empty where nothing was recorded.
std::string time_section(const io::Json& provenance);

// The essence of it, for a terminal. Empty where nothing was recorded.
std::string time_line(const io::Json& provenance);

// A kind of work in words, or as it is.
std::string work_label(std::string_view kind);

}  // namespace qsweep::report
