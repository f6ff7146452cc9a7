#include "sweep/hybrid.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace qsweep::sweep {
namespace {

constexpr double kGroupPrecision = 25;       // of a group's mean ratio about 1: 1 / 0.2^2
constexpr double kOpVariance = 0.15 * 0.15;  // of an op's ratio about its group's
constexpr double kLeastRatio = 0.2;

struct Forms {
  std::vector<double> token;  // per sample, mean over the probes
  double token_sum = 0;
  double whole_sum = 0;
  double ratio = 1;
  double ratio_variance = 0;  // theoretical
  double token_variance = 0;  // relative, of token_sum over the probes
};

Forms forms_of(const HybridInput& op) {
  Forms f;
  const auto k = static_cast<double>(op.probes);
  f.token.resize(static_cast<size_t>(op.samples));
  std::vector<double> per_probe(static_cast<size_t>(op.probes));
  for (int64_t p = 0; p < op.probes; ++p)
    for (int64_t s = 0; s < op.samples; ++s) {
      const pass::ProbeProducts& x = op.products[static_cast<size_t>(p * op.samples + s)];
      f.token[static_cast<size_t>(s)] += x.token / k;
      per_probe[static_cast<size_t>(p)] += x.token;
      f.whole_sum += x.whole * x.whole / k;
    }
  double squares = 0;
  for (const double t : f.token) {
    f.token_sum += t;
    squares += t * t;
  }
  if (!(f.token_sum > 0)) return f;
  f.ratio = f.whole_sum / f.token_sum;
  f.ratio_variance = 2 / k * squares / (f.token_sum * f.token_sum);
  double deviations = 0;
  for (const double t : per_probe) deviations += (t - f.token_sum) * (t - f.token_sum);
  if (op.probes > 1) f.token_variance = deviations / (k * (k - 1)) / (f.token_sum * f.token_sum);
  return f;
}

}  // namespace

std::vector<HybridEstimate> hybrid_estimates(std::span<const HybridInput> ops) {
  struct Group {
    double weighted = kGroupPrecision, weights = kGroupPrecision;
  };
  std::map<std::string, Group> groups;
  std::vector<Forms> forms;
  for (const HybridInput& op : ops) {
    const Forms& f = forms.emplace_back(forms_of(op));
    if (!(f.token_sum > 0)) continue;
    Group& group = groups[op.group];
    const double weight = 1 / (f.ratio_variance + kOpVariance);
    group.weighted += f.ratio * weight;
    group.weights += weight;
  }
  std::vector<HybridEstimate> estimates;
  for (size_t i = 0; i < ops.size(); ++i) {
    const Forms& f = forms[i];
    const Group& group = groups[ops[i].group];
    const double mean = group.weighted / group.weights;
    const double trust = kOpVariance / (kOpVariance + f.ratio_variance);
    const double ratio = std::max(kLeastRatio, mean + trust * (f.ratio - mean));
    HybridEstimate& e = estimates.emplace_back();
    for (const double t : f.token) e.per_sample.push_back(t * ratio);
    e.token_form = f.token_sum;
    e.whole_form = f.whole_sum;
    e.coherence = f.ratio;
    // What is left of the ratio's variance after the shrinkage, and the probes' own spread.
    const double ratio_variance = trust * f.ratio_variance + (1 - trust) * (1 - trust) / group.weights;
    e.relative_standard_error = std::sqrt(f.token_variance + ratio_variance / (ratio * ratio));
  }
  return estimates;
}

}  // namespace qsweep::sweep
