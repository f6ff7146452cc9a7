#include "scores/metric.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"

namespace qsweep::scores {
namespace {

constexpr std::array<std::string_view, 2> kScopeNames{"all", "answer"};
constexpr auto kWhichNames =
    std::to_array<std::string_view>({"hidden_sse", "logits_sse", "kl", "nll_delta", "top1_flips"});
static_assert(kWhichNames.size() == kAllWhich.size());

double ratio(double numerator, int64_t denominator) {
  return denominator == 0 ? std::numeric_limits<double>::quiet_NaN()
                          : numerator / static_cast<double>(denominator);
}

}  // namespace

std::string_view name(Scope scope) { return kScopeNames[static_cast<size_t>(scope)]; }
std::string_view name(Which which) { return kWhichNames[static_cast<size_t>(which)]; }

void MetricSums::add(const MetricSums& other) {
  hidden_sse += other.hidden_sse;
  logits_sse += other.logits_sse;
  kl += other.kl;
  nll_delta += other.nll_delta;
  top1_flips += other.top1_flips;
  positions += other.positions;
  targets += other.targets;
  hidden_elements += other.hidden_elements;
  logits_elements += other.logits_elements;
}

void ScopedSums::add(const ScopedSums& other) {
  all.add(other.all);
  answer.add(other.answer);
}

double sum(const MetricSums& sums, Which which) {
  switch (which) {
    case Which::hidden_sse:
      return sums.hidden_sse;
    case Which::logits_sse:
      return sums.logits_sse;
    case Which::kl:
      return sums.kl;
    case Which::nll_delta:
      return sums.nll_delta;
    case Which::top1_flips:
      return static_cast<double>(sums.top1_flips);
  }
  QSWEEP_CHECK(false, "metric {}", static_cast<int>(which));
}

void set_sum(MetricSums& sums, Which which, double value) {
  switch (which) {
    case Which::hidden_sse:
      sums.hidden_sse = value;
      break;
    case Which::logits_sse:
      sums.logits_sse = value;
      break;
    case Which::kl:
      sums.kl = value;
      break;
    default:
      QSWEEP_CHECK(false, "metric {}", static_cast<int>(which));
  }
}

bool finite(const ScopedSums& sums, Measured measured) {
  return std::all_of(kAllMetrics.begin(), kAllMetrics.end(), [&](Metric m) {
    return !measured.has(m) || std::isfinite(sum(sums.of(m.scope), m.which));
  });
}

void blank_unmeasured(ScopedSums& sums, Measured measured) {
  for (Scope scope : kAllScopes) {
    MetricSums& s = sums.of(scope);
    const std::pair<Which, double*> values[] = {{Which::hidden_sse, &s.hidden_sse},
                                                {Which::logits_sse, &s.logits_sse},
                                                {Which::kl, &s.kl},
                                                {Which::nll_delta, &s.nll_delta}};
    for (const auto& [which, value] : values)
      if (!measured.has({which, scope})) *value = std::numeric_limits<double>::quiet_NaN();
    if (!measured.has({Which::top1_flips, scope})) s.top1_flips = 0;
  }
}

int64_t count(const MetricSums& sums, Which which) {
  return which == Which::nll_delta ? sums.targets : sums.positions;
}

double per_position(const MetricSums& sums, Which which) {
  return ratio(sum(sums, which), count(sums, which));
}
double hidden_mse(const MetricSums& sums) { return ratio(sums.hidden_sse, sums.hidden_elements); }
double logits_mse(const MetricSums& sums) { return ratio(sums.logits_sse, sums.logits_elements); }
double perplexity_ratio(const MetricSums& sums) { return std::exp(per_position(sums, Which::nll_delta)); }

std::string name(Metric metric) { return fmt::format("{}:{}", name(metric.which), name(metric.scope)); }

Metric parse_metric(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view which_name = text.substr(0, colon);
  const std::string_view scope_name = colon == std::string_view::npos ? "all" : text.substr(colon + 1);
  if (which_name == name(Which::nll_delta))
    fail(
        "metric \"{}\": nll_delta is signed and cancels over tokens, too noisy to rank by; expected one of: "
        "kl, logits_sse, hidden_sse",
        text);
  if (which_name == name(Which::top1_flips))
    fail(
        "metric \"{}\": top1_flips counts rare events, too noisy to rank by; expected one of: kl, "
        "logits_sse, hidden_sse",
        text);
  for (Which which : kRankable) {
    if (which_name != name(which)) continue;
    for (Scope scope : kAllScopes)
      if (scope_name == name(scope)) return {which, scope};
    fail("metric \"{}\": expected scope all or answer, found \"{}\"", text, scope_name);
  }
  fail("metric \"{}\": expected one of: kl, logits_sse, hidden_sse, each alone or with :all or :answer",
       text);
}

}  // namespace qsweep::scores
