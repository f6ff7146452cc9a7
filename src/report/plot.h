// A picture of points, as a text of SVG.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace qsweep::report {

struct Plot {
  std::string x, y;                                    // what the axes are
  std::vector<std::pair<double, double>> points = {};  // joined in the order of x
};

// The axis of y is logarithmic; points that are not finite, or not above 0, are left out. Empty where fewer
// than two are left.
std::string svg(const Plot& plot);

}  // namespace qsweep::report
