// Random problems, small enough to try all selections.
#pragma once

#include <cmath>
#include <functional>

#include "base/rng.h"
#include "choose/problem.h"

namespace qsweep::choose {

struct ProblemSize {
  size_t decisions = 8, formats = 3;
  bool pairs = false;
};

// Bits of 4 to 16 per weight; errors fall with the bits by and large, over three orders of magnitude. Pairs
// are those of random changes of an output, partly aligned.
inline Problem random_problem(const ProblemSize& size, uint64_t seed) {
  Rng rng(seed);
  const auto spread = [&](double orders) { return std::pow(10.0, orders * rng.uniform()); };
  std::vector<Decision> decisions(size.decisions);
  std::vector<std::vector<double>> changes;
  constexpr size_t kOutputs = 6;
  int64_t weights = 0;
  for (size_t d = 0; d < size.decisions; ++d) {
    const auto n = static_cast<int64_t>(64 * (1 + rng.below(100)));
    weights += n;
    decisions[d].name = std::to_string(d);
    for (size_t f = 0; f < size.formats; ++f) {
      const double bits = 4 + 12.0 * static_cast<double>(f) / static_cast<double>(size.formats - 1);
      const double error = spread(3) * std::exp2(-bits);
      const auto scales = static_cast<int64_t>(32 * rng.below(20));
      decisions[d].choices.push_back({.format = nullptr,
                                      .bits = static_cast<int64_t>(bits * static_cast<double>(n)) + scales,
                                      .error = error,
                                      .scores = {}});
      std::vector<double>& change = changes.emplace_back();
      double norm = 0;
      for (size_t k = 0; k < kOutputs; ++k) change.push_back(0.3 + rng.uniform() - 0.5);
      for (const double c : change) norm += c * c;
      for (double& c : change) c *= std::sqrt(error / norm);
    }
  }
  std::vector<double> pairs;
  for (size_t i = 0; size.pairs && i < changes.size(); ++i)
    for (size_t j = 0; j < changes.size(); ++j) {
      double product = 0;
      for (size_t k = 0; k < kOutputs; ++k) product += changes[i][k] * changes[j][k];
      pairs.push_back(i / size.formats == j / size.formats ? 0 : product);
    }
  return {std::move(decisions), weights, 100, std::move(pairs)};
}

inline void each_selection(const Problem& problem, const std::function<void(const Selection&)>& see) {
  Selection selection(problem.size(), 0);
  while (true) {
    see(selection);
    size_t d = 0;
    while (d < selection.size() && ++selection[d] == static_cast<int>(problem.decisions()[d].choices.size()))
      selection[d++] = 0;
    if (d == selection.size()) return;
  }
}

}  // namespace qsweep::choose
