// The exact choice by the plain sum: a small integer program.
#pragma once

#include "choose/problem.h"

namespace qsweep::choose {

struct ExactSum {
  Selection selection;
  double sum = 0;        // of its errors
  double least_sum = 0;  // proved: no selection within the budget has a smaller one

  // By how much of it the sum may be improved at most; 0 where it is proved to be the least.
  double gap() const { return sum > least_sum && sum > 0 ? (sum - least_sum) / sum : 0; }
};

// The least sum of errors within the budget, which is at least the problem's cheapest. One thread, no limit
// of time: the same problem has the same solution. Where the search is given up after kMostNodes, the gap
// says what it may have missed.
inline constexpr int kMostNodes = 100000;
ExactSum least_sum(const Problem& problem, int64_t budget_bits);

}  // namespace qsweep::choose
