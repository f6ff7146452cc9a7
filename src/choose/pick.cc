#include "choose/pick.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "scores/interval.h"

namespace qsweep::choose {
namespace {

// Whether the samples cannot tell that `errors` are above those of the best.
bool near_best(std::span<const double> errors, std::span<const double> best) {
  const auto n = static_cast<double>(errors.size());
  double mean = 0, squares = 0;
  for (size_t s = 0; s < errors.size(); ++s) mean += (errors[s] - best[s]) / n;
  for (size_t s = 0; s < errors.size(); ++s) {
    const double deviation = errors[s] - best[s] - mean;
    squares += deviation * deviation;
  }
  const double standard_error = n > 1 ? std::sqrt(squares / (n - 1) / n) : 0;
  return mean <= kToldApart * standard_error;
}

double total(std::span<const double> errors) { return std::accumulate(errors.begin(), errors.end(), 0.0); }

}  // namespace

std::optional<size_t> best_measured(const Measurements& measured) {
  std::optional<size_t> best;
  double least = INFINITY;
  for (size_t i = 0; i < measured.recipes.size(); ++i)
    if (const double error = measured.per_position(i); error < least) {
      best = i;
      least = error;
    }
  return best;
}

std::optional<size_t> pick(const Measurements& measured, std::span<const double> predicted) {
  QSWEEP_CHECK(predicted.size() == measured.recipes.size(), "{} predictions of {} recipes", predicted.size(),
               measured.recipes.size());
  const std::optional<size_t> best = best_measured(measured);
  std::optional<size_t> picked;
  double least = INFINITY;
  for (size_t i = 0; best && i < measured.recipes.size(); ++i) {
    if (!std::isfinite(measured.per_position(i))) continue;
    if (!near_best(measured.recipes[i].errors, measured.recipes[*best].errors)) continue;
    // An estimate of an error can be below 0, which says no more than 0 does.
    const double product = measured.per_position(i) * std::max(predicted[i], 0.0);
    if (product >= least && picked) continue;
    picked = i;
    least = product;
  }
  return picked;
}

Ratio paired_ratio(std::span<const double> errors, std::span<const double> others) {
  QSWEEP_CHECK(errors.size() == others.size(), "{} and {} samples", errors.size(), others.size());
  const auto samples = static_cast<double>(errors.size());
  Ratio ratio{.value = total(errors) / total(others), .interval = {}};
  if (errors.size() < 2 || !(ratio.value > 0) || !std::isfinite(ratio.value)) return ratio;
  double squares = 0;
  for (size_t s = 0; s < errors.size(); ++s) {
    const double residual = errors[s] - ratio.value * others[s];
    squares += residual * residual;
  }
  const double standard_error = std::sqrt(samples / (samples - 1) * squares) / total(others);
  const double reach =
      scores::StudentT95()(static_cast<int64_t>(errors.size())) * standard_error / ratio.value;
  ratio.interval = scores::Interval{ratio.value * std::exp(-reach), ratio.value * std::exp(reach)};
  return ratio;
}

}  // namespace qsweep::choose
