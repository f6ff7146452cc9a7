#include "base/stats.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace qsweep {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

double pearson(std::span<const double> x, std::span<const double> y) {
  const double n = static_cast<double>(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return xx > 0 && yy > 0 ? std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0) : kUndefined;
}

// Lentz's evaluation of the continued fraction 1 / (1 + d_1 / (1 + d_2 / (1 + ...))) of the incomplete beta
// function (DLMF 8.17.22). It converges in O(sqrt(max(a, b))) steps for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  constexpr int kMaxPairs = 50000;
  const auto nonzero = [](double v) { return std::fabs(v) < kTiny ? kTiny : v; };
  double value = 1, c = 1, d = 0;
  const auto advance = [&](double coefficient) {
    c = nonzero(1 + coefficient / c);
    d = 1 / nonzero(1 + coefficient * d);
    value *= c * d;
    return std::fabs(c * d - 1);
  };
  for (int pair = 0; pair < kMaxPairs; ++pair) {
    const double m = pair, n = m + 1;
    advance(-(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)));
    if (advance(n * (b - n) * x / ((a + 2 * n - 1) * (a + 2 * n))) < 1e-16) break;
  }
  return 1 / value;
}

// I_x(a, b) with y = 1 - x, given apart so that neither loses its digits near 0.
double incomplete_beta(double a, double b, double x, double y) {
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  const double log_front =
      std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log(y);
  if (x < (a + 1) / (a + b + 2)) return std::exp(log_front) * beta_fraction(a, b, x) / a;
  return 1 - std::exp(log_front) * beta_fraction(b, a, y) / b;
}

// P(T > t) for t >= 0 (DLMF 8.17; Abramowitz and Stegun 26.7.1).
double student_t_tail(double t, double dof) {
  const double squared = t * t;
  return 0.5 * incomplete_beta(dof / 2, 0.5, dof / (dof + squared), squared / (dof + squared));
}

}  // namespace

double quantile(std::span<const double> values, double q) {
  QSWEEP_CHECK(!values.empty() && q >= 0 && q <= 1, "quantile {} of {} values", q, values.size());
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::vector<double> average_ranks(std::span<const double> values) {
  for (double value : values) QSWEEP_CHECK(!std::isnan(value), "a NaN has no rank");
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return values[i] < values[j]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double shared = (static_cast<double>(begin + 1) + static_cast<double>(end)) / 2;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = shared;
  }
  return ranks;
}

double spearman(std::span<const double> x, std::span<const double> y) {
  QSWEEP_CHECK(x.size() == y.size(), "{} against {} values", x.size(), y.size());
  if (x.size() < 2) return kUndefined;
  return pearson(average_ranks(x), average_ranks(y));
}

double kendall_tau_b(std::span<const double> x, std::span<const double> y) {
  QSWEEP_CHECK(x.size() == y.size(), "{} against {} values", x.size(), y.size());
  const auto sign = [](double d) { return (d > 0) - (d < 0); };
  int64_t score = 0, untied_x = 0, untied_y = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const int sx = sign(x[i] - x[j]), sy = sign(y[i] - y[j]);
      score += sx * sy;
      untied_x += sx != 0;
      untied_y += sy != 0;
    }
  }
  if (untied_x == 0 || untied_y == 0) return kUndefined;
  return static_cast<double>(score) /
         std::sqrt(static_cast<double>(untied_x) * static_cast<double>(untied_y));
}

double student_t_quantile(double p, double dof) {
  QSWEEP_CHECK(p > 0 && p < 1 && dof > 0, "t quantile at p = {} with {} degrees of freedom", p, dof);
  if (p == 0.5) return 0;
  const double tail = std::min(p, 1 - p);
  double low = 0, high = 1;
  while (student_t_tail(high, dof) > tail) {
    low = high;
    high *= 2;
  }
  // Bisection until the two ends are neighbours; the tail falls strictly with t.
  for (double middle = low + (high - low) / 2; middle > low && middle < high; middle = low + (high - low) / 2)
    (student_t_tail(middle, dof) > tail ? low : high) = middle;
  return p < 0.5 ? -high : high;
}

}  // namespace qsweep
