// 95 % confidence intervals of a metric's mean per position over the samples of the data.
//
// The mean is a ratio m = sum e / sum n with one (e_s, n_s) per sample; its standard error is that of a ratio
// estimator: se^2 = S/(S-1) sum (e_s - m n_s)^2 / (sum n)^2. Errors per sample are heavy-tailed and few, so
// for the metrics that cannot be negative (hidden_sse, logits_sse, kl) the interval lies on the log scale, m
// exp(+- t relative_error), and no op may claim a smaller relative error than the root mean square over the
// ops it is ranked with, nor than its estimator found for it. nll_delta is signed: m +- t se. top1_flips has
// none. t is Student's with S-1 degrees of freedom. There is no interval with fewer than two samples, nor for
// a mean of 0 of a metric that cannot be negative.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "scores/record.h"

namespace qsweep::scores {

// Student's t for a 95 % interval from S samples, computed once per S.
class StudentT95 {
 public:
  double operator()(int64_t samples);

 private:
  std::map<int64_t, double> by_samples_;
};

// One variant of those that are judged together.
struct IntervalInput {
  Measurement* variant;
  double relative_error = 0;  // of the ranking metric, found by other means than the samples
};

// Fills the intervals of all metrics that were measured. A sample without positions in a scope says nothing
// about its mean and does not count as a sample there.
void fill_intervals(std::span<const IntervalInput> variants, Metric ranking, StudentT95& t);

}  // namespace qsweep::scores
