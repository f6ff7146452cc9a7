// From probe products to an estimate of squared output error: the hybrid of its two forms.
//
// Per op and sample s, over k probes: T_s = mean of the token form, whose noise is small but which leaves out
// that errors of different tokens can add up; the whole form, the square of the sum over tokens, has no such
// bias but much noise. Their ratio over the data, r = sum (whole)^2 / (k sum T_s), has the theoretical noise
// v = (2/k) sum T_s^2 / (sum T_s)^2. It is shrunk first to the mean of its group (tower and role),
// mu = (25 + sum r / (v + .0225)) / (25 + sum 1 / (v + .0225)), a group's mean being 1 +- 0.2 a priori and an
// op's ratio within 0.15 of its group's: r' = max(.2, mu + .0225 / (.0225 + v) (r - mu)). The estimate is r'
// T_s.
#pragma once

#include <string>
#include <vector>

#include "pass/probe_pass.h"

namespace qsweep::sweep {

struct HybridInput {
  std::string group;
  int64_t probes = 0;
  int64_t samples = 0;
  std::span<const pass::ProbeProducts> products;  // [probes, samples]
};

struct HybridEstimate {
  std::vector<double> per_sample;
  double token_form = 0;  // sum over samples of T_s
  double whole_form = 0;  // mean over probes of the squared sums, summed over samples
  double coherence = 0;   // r; 1 where there is no error at all
  // Of the estimate against the same samples' true second-order error, from the probes alone.
  double relative_standard_error = 0;
};

// Of the ops of one format. An op without any error takes no part in its group's mean, and gets 0.
std::vector<HybridEstimate> hybrid_estimates(std::span<const HybridInput> ops);

}  // namespace qsweep::sweep
