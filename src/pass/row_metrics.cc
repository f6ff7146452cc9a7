#include "pass/row_metrics.h"

#include <cmath>

namespace qsweep::pass {
namespace {

using kernels::LogitsSums;

// log sum p e^d: by the small parts of the sum where it is near 1.
double log_ratio(const LogitsSums& s) {
  const double change = s.mean + s.curvature;
  return change > -0.5 ? std::log1p(change) : std::log(s.mass);
}

// KL = log sum p e^d - sum p d. With a = sum p d and b = sum p (e^d - 1 - d) it is log1p(a + b) - a; where
// |a| is small it may still be far larger than the result: then log1p(b / (1 + a)) + (log1p(a) - a), the
// latter by its series.
double kl_of(const LogitsSums& s) {
  const double a = s.mean;
  if (std::abs(a) >= 1e-2) return log_ratio(s) - a;
  double log1p_minus = 0, power = a * a;
  for (int k = 2; k < 14; ++k, power *= -a) log1p_minus -= power / k;
  return std::log1p(s.curvature / (1 + a)) + log1p_minus;
}

}  // namespace

scores::MetricSums row_metrics(const LogitsSums& s, double hidden_sse, int32_t target,
                               int64_t reference_argmax) {
  scores::MetricSums m;
  m.hidden_sse = hidden_sse;
  m.logits_sse = s.squared;
  m.kl = kl_of(s);
  if (target >= 0) m.nll_delta = log_ratio(s) - s.target_delta;
  m.top1_flips = s.argmax != reference_argmax ? 1 : 0;
  return m;
}

}  // namespace qsweep::pass
