// report.html: what the files of runs hold, as a page that opens offline.
#pragma once

#include <string>
#include <vector>

#include "report/view.h"

namespace qsweep::report {

// The whole page, self-contained. Names from files are data in it, whatever they hold.
std::string page(const io::Json& view);

// Replaces report.html in the folder atomically.
void write_page(const Findings& findings, const std::string& folder);

}  // namespace qsweep::report
