// The page's pictures as files of SVG, drawn by the page's own code without a browser.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "io/json_fwd.h"

namespace qsweep::report {

// Name of the file and text of SVG: a heat map and a ranking per format, and the spectrum of recipes, of what
// the view has.
std::vector<std::pair<std::string, std::string>> pictures(const io::Json& view);

}  // namespace qsweep::report
