// What measured recipes teach about the errors of single choices.
//
//   predicted(x) = sum_i a_i S_i + sum_{i != j} C_ij,   a_i = kappa + delta_i,
//
// where kappa and the deltas minimize, over the measured recipes x with error y(x),
//
//   sum_x (1 - predicted(x) / y(x))^2 + 0.3 sum_i delta_i^2 + 0.001 (kappa - 1)^2:
//
// linear least squares with a closed solution in as many unknowns as there are measured recipes. A factor is
// at least 0.05: no choice becomes free.
#pragma once

#include "choose/problem.h"

namespace qsweep::choose {

// A recipe that was measured: its errors on each of the samples, as sums over their positions; those of the
// metric that the problem's errors are of.
struct Measured {
  Selection selection;
  std::vector<double> errors;
};

// Recipes measured on the same samples. Only what the choice may know belongs here, no sample that it is
// judged by.
struct Measurements {
  std::vector<double> positions;  // per sample
  std::vector<Measured> recipes;

  // Error of a recipe per position.
  double per_position(size_t recipe) const;
};

// The problem with errors a_i S_i. Recipes without a positive finite error say nothing.
Problem refit(const Problem& problem, const Measurements& measured);

}  // namespace qsweep::choose
