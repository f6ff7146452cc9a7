// The choice by the plain sum where choices may be mixed: a bound for the exact one, and nearly its solution.
//
// Within a decision, choices on the lower convex hull of (bits, error) are taken in steps of falling benefit,
// error saved per bit, until the budget is spent (Sinha and Zoltners 1979, "The multiple-choice knapsack
// problem"). The benefit of the step that does not fit any more is the price of a bit.
#pragma once

#include "choose/problem.h"

namespace qsweep::choose {

struct Relaxation {
  Selection rounded;     // within the budget: the steps that fit
  double price = 0;      // error per bit; 0 where the budget is not the limit
  double least_sum = 0;  // no selection within the budget has a smaller sum
};

// errors: one per choice, in place of the problem's own. budget_bits: at least the problem's cheapest.
Relaxation relax(const Problem& problem, std::span<const double> errors, int64_t budget_bits);

std::vector<double> errors_of(const Problem& problem);

}  // namespace qsweep::choose
