#include "choose/solve.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/rng.h"
#include "choose/descent.h"
#include "choose/program.h"
#include "choose/relaxation.h"

namespace qsweep::choose {
namespace {

constexpr double kPerturbation = 0.3;

// Box and Muller 1958.
double standard_normal(Rng& rng) {
  const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
  return radius * std::cos(2 * std::numbers::pi * rng.uniform());
}

std::vector<double> perturbed(std::vector<double> errors, uint64_t seed, uint64_t start) {
  Rng rng(seed, start);
  for (double& error : errors) error *= std::exp(kPerturbation * standard_normal(rng));
  return errors;
}

bool contains(const std::vector<Selection>& selections, const Selection& selection) {
  return std::ranges::find(selections, selection) != selections.end();
}

// Puts the additive selection in place of the last, unless it is there or skipped.
void keep_additive(const Problem& problem, const Selection& additive, const SolveOptions& options,
                   Candidates& found) {
  if (contains(options.skip, additive)) return;
  auto place = std::ranges::find(found.best, additive, &Candidate::selection);
  if (place == found.best.end()) {
    if (found.best.size() >= options.candidates) found.best.pop_back();
    found.best.push_back(candidate_of(problem, additive));
    place = found.best.end() - 1;
  }
  found.additive = static_cast<size_t>(place - found.best.begin());
}

}  // namespace

Candidate candidate_of(const Problem& problem, const Selection& selection) {
  return {.selection = selection,
          .bits = problem.bits(selection),
          .sum = problem.sum(selection),
          .predicted = problem.predicted(selection)};
}

Candidates solve(const Problem& problem, int64_t budget_bits, const SolveOptions& options) {
  const ExactSum exact = least_sum(problem, budget_bits);
  const std::vector<double> errors = errors_of(problem);
  const double price = relax(problem, errors, budget_bits).price;
  // What is skipped leads to what lies beside it.
  Best best(options.candidates + options.skip.size());
  const auto begin_at = [&](const Selection& start) {
    for (const Selection& selection : {start, descend(problem, start, budget_bits, price)})
      best.see(selection, problem.predicted(selection));
  };
  begin_at(exact.selection);
  for (size_t start = 0; start < options.starts; ++start) {
    begin_at(relax(problem, perturbed(errors, options.seed, start), budget_bits).rounded);
  }
  explore(problem, budget_bits, price, best);
  Candidates found{.best = {}, .additive = {}, .gap = exact.gap()};
  for (const Best::Entry& entry : best.entries())
    if (!contains(options.skip, entry.selection) && found.best.size() < options.candidates)
      found.best.push_back(candidate_of(problem, entry.selection));
  keep_additive(problem, exact.selection, options, found);
  return found;
}

std::optional<int64_t> fewest_bits(const Problem& problem, double most_error, const SolveOptions& options) {
  int64_t low = problem.cheapest_bits() - 1, high = problem.dearest_bits() + 1;  // too few, enough
  std::optional<int64_t> fewest;
  while (high - low > 1) {
    const int64_t middle = std::midpoint(low, high);
    const Candidates found = solve(problem, middle, options);
    for (const Candidate& candidate : found.best)
      if (candidate.predicted <= most_error) fewest = std::min(fewest.value_or(INT64_MAX), candidate.bits);
    if (fewest && *fewest <= middle)
      high = *fewest;
    else
      low = middle;
  }
  return fewest;
}

}  // namespace qsweep::choose
