// Which of the measured recipes to take, and how sure it is.
#pragma once

#include <optional>
#include <span>

#include "choose/refit.h"
#include "scores/record.h"

namespace qsweep::choose {

// How many standard errors a recipe may lie above the best measured one and count as not told from it.
inline constexpr double kToldApart = 1;

// Index of a recipe in the measurements. Of those whose paired differences per sample to the one of least
// measured error have a mean of at most kToldApart standard errors: the one of the smallest product of
// measured and predicted error. predicted: of every recipe, by the refitted problem. None where no recipe has
// a finite error.
std::optional<size_t> pick(const Measurements& measured, std::span<const double> predicted);
// The one of least measured error.
std::optional<size_t> best_measured(const Measurements& measured);

// The error of a recipe over that of another on the same samples.
struct Ratio {
  double value = 1;
  // 95 %, by the paired differences over the samples; none with fewer than two samples, or where either has
  // no error.
  std::optional<scores::Interval> interval;
};
// errors, others: of each sample, as sums. With r = sum e / sum o, the standard error of r is that of a ratio
// estimator, sqrt(S/(S-1) sum (e_s - r o_s)^2) / sum o; the interval is r exp(+- t se / r).
Ratio paired_ratio(std::span<const double> errors, std::span<const double> others);

}  // namespace qsweep::choose
