#include "scores/interval.h"

#include <cmath>

#include "base/stats.h"

namespace qsweep::scores {
namespace {

struct RatioEstimate {
  double mean = 0, standard_error = 0;
  int64_t samples = 0;
};

std::optional<RatioEstimate> estimate(const Measurement& variant, Metric metric) {
  if (!variant.measured.has(metric)) return std::nullopt;
  const std::span<const ScopedSums> per_sample = variant.per_sample;
  double errors = 0, weight = 0;
  int64_t samples = 0;
  for (const ScopedSums& sample : per_sample) {
    const MetricSums& sums = sample.of(metric.scope);
    errors += sum(sums, metric.which);
    weight += static_cast<double>(count(sums, metric.which));
    samples += count(sums, metric.which) > 0;
  }
  if (samples < 2) return std::nullopt;
  const double mean = errors / weight;
  double squares = 0;
  for (const ScopedSums& sample : per_sample) {
    const MetricSums& sums = sample.of(metric.scope);
    const double residual = sum(sums, metric.which) - mean * static_cast<double>(count(sums, metric.which));
    squares += residual * residual;
  }
  const double s = static_cast<double>(samples);
  return RatioEstimate{mean, std::sqrt(s / (s - 1) * squares) / weight, samples};
}

std::optional<Interval> finite(double low, double high) {
  if (!std::isfinite(low) || !std::isfinite(high)) return std::nullopt;
  return Interval{low, high};
}

void fill_plain(std::span<const IntervalInput> variants, Metric metric, StudentT95& t) {
  for (const IntervalInput& input : variants) {
    const auto e = estimate(*input.variant, metric);
    if (!e) continue;
    const double half_width = t(e->samples) * e->standard_error;
    input.variant->intervals.of(metric) = finite(e->mean - half_width, e->mean + half_width);
  }
}

void fill_logarithmic(std::span<const IntervalInput> variants, Metric metric, bool ranking, StudentT95& t) {
  std::vector<std::optional<RatioEstimate>> estimates;
  double squares = 0;
  int64_t n = 0;
  for (const IntervalInput& input : variants) {
    auto e = estimate(*input.variant, metric);
    if (e && !(e->mean > 0)) e.reset();
    if (e) squares += std::pow(e->standard_error / e->mean, 2);
    n += e.has_value();
    estimates.push_back(e);
  }
  if (n == 0) return;
  const double typical = std::sqrt(squares / static_cast<double>(n));
  for (size_t i = 0; i < variants.size(); ++i) {
    if (!estimates[i]) continue;
    const auto [mean, standard_error, samples] = *estimates[i];
    const double least = ranking ? std::max(typical, variants[i].relative_error) : typical;
    const double factor = std::exp(t(samples) * std::max(standard_error / mean, least));
    variants[i].variant->intervals.of(metric) = finite(mean / factor, mean * factor);
  }
}

}  // namespace

double StudentT95::operator()(int64_t samples) {
  const auto [it, added] = by_samples_.try_emplace(samples, 0.0);
  if (added) it->second = student_t_quantile(0.975, static_cast<double>(samples - 1));
  return it->second;
}

void fill_intervals(std::span<const IntervalInput> variants, Metric ranking, StudentT95& t) {
  for (const IntervalInput& input : variants) input.variant->intervals = {};
  for (Scope scope : kAllScopes) {
    for (Which which : {Which::hidden_sse, Which::logits_sse, Which::kl})
      fill_logarithmic(variants, {which, scope}, ranking == Metric{which, scope}, t);
    fill_plain(variants, {Which::nll_delta, scope}, t);
  }
}

}  // namespace qsweep::scores
