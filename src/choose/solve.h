// The recipes that are worth considering within a budget.
#pragma once

#include <cstdint>
#include <optional>

#include "choose/problem.h"

namespace qsweep::choose {

// A selection with what is known of it before it is measured.
struct Candidate {
  Selection selection;
  int64_t bits = 0;
  double sum = 0;        // of the single errors
  double predicted = 0;  // with pairs; the sum where nothing is known of them
};

Candidate candidate_of(const Problem& problem, const Selection& selection);

struct Candidates {
  std::vector<Candidate> best;  // distinct, by predicted error, the least first
  // The one of least sum in `best`: there unless it was skipped.
  std::optional<size_t> additive;
  double gap = 0;  // of the least sum, ExactSum::gap
};

struct SolveOptions {
  size_t candidates = 8;
  size_t starts =
      16;  // perturbed errors S exp(0.3 n), n standard normal, whose nearly best selections are begun from
  uint64_t seed = 1;
  std::vector<Selection> skip = {};  // what has been measured already
};

// Selections within the budget, which is at least the problem's cheapest: the one of least sum, exactly; and
// from it and from those of perturbed errors by descent the best by prediction. The same input has the same
// result.
Candidates solve(const Problem& problem, int64_t budget_bits, const SolveOptions& options = {});

// The fewest bits for which a selection of at most this predicted error is found; none where even the dearest
// choices err more.
std::optional<int64_t> fewest_bits(const Problem& problem, double most_error,
                                   const SolveOptions& options = {});

}  // namespace qsweep::choose
