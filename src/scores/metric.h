// What a score measures: sums of the output difference between a variant and the reference, with their
// counts.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace qsweep::scores {

// What was not measured, or is not defined for what was.
inline constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

// `answer`: the positions whose next token is an answer token.
enum class Scope { all, answer };
enum class Which { hidden_sse, logits_sse, kl, nll_delta, top1_flips };

inline constexpr std::array kAllScopes{Scope::all, Scope::answer};
inline constexpr std::array kAllWhich{Which::hidden_sse, Which::logits_sse, Which::kl, Which::nll_delta,
                                      Which::top1_flips};

std::string_view name(Scope scope);
std::string_view name(Which which);

// Sums over positions; two of them over different positions add up to the one over both.
struct MetricSums {
  double hidden_sse = 0;  // squared difference of the hidden state after the final norm
  double logits_sse = 0;  // squared difference of the logits
  double kl = 0;          // KL(reference || variant) of the next-token distribution, nats
  double nll_delta = 0;   // log p_reference - log p_variant of the true next token, nats; signed
  int64_t top1_flips = 0;
  int64_t positions = 0;
  int64_t targets = 0;  // positions that have a next token
  int64_t hidden_elements = 0;
  int64_t logits_elements = 0;

  void add(const MetricSums& other);
};

struct ScopedSums {
  MetricSums all, answer;

  const MetricSums& of(Scope scope) const { return scope == Scope::all ? all : answer; }
  MetricSums& of(Scope scope) { return scope == Scope::all ? all : answer; }
  void add(const ScopedSums& other);
};

double sum(const MetricSums& sums, Which which);
// Of a metric that ops can be ranked by.
void set_sum(MetricSums& sums, Which which, double value);
// The count that belongs to the sum: targets for nll_delta, positions for the others.
int64_t count(const MetricSums& sums, Which which);
// sum / count: squared error per position, nats per position, flips per position. NaN where the count is 0.
double per_position(const MetricSums& sums, Which which);
// Mean squared error per element. NaN without elements.
double hidden_mse(const MetricSums& sums);
double logits_mse(const MetricSums& sums);
// exp(mean nll_delta): the variant's perplexity over the reference's. NaN without targets.
double perplexity_ratio(const MetricSums& sums);

// A metric that ops can be ranked by.
struct Metric {
  Which which = Which::kl;
  Scope scope = Scope::all;
  bool operator==(const Metric&) const = default;
};

// Every metric there is: all of scope `all`, then all of scope `answer`.
inline constexpr auto kAllMetrics = [] {
  std::array<Metric, kAllScopes.size() * kAllWhich.size()> metrics{};
  size_t n = 0;
  for (Scope scope : kAllScopes)
    for (Which which : kAllWhich) metrics[n++] = {which, scope};
  return metrics;
}();

// Which metrics were measured. An estimator knows some of them only; the sums of the others mean nothing. The
// counts (positions, ...) are always known.
class Measured {
 public:
  static constexpr Measured all() { return Measured((1u << kAllMetrics.size()) - 1); }
  static constexpr Measured none() { return Measured(0); }

  constexpr bool has(Metric metric) const { return (bits_ & bit(metric)) != 0; }
  constexpr void add(Metric metric) { bits_ |= bit(metric); }
  constexpr void remove(Metric metric) { bits_ &= ~bit(metric); }
  constexpr bool operator==(const Measured&) const = default;

 private:
  constexpr explicit Measured(unsigned bits) : bits_(bits) {}
  static constexpr unsigned bit(Metric metric) {
    return 1u << (static_cast<size_t>(metric.scope) * kAllWhich.size() + static_cast<size_t>(metric.which));
  }

  unsigned bits_;
};

// True where every measured sum is a finite number.
bool finite(const ScopedSums& sums, Measured measured);
// Makes the sums that were not measured NaN, and top1_flips, which knows no NaN, 0.
void blank_unmeasured(ScopedSums& sums, Measured measured);

// Those that ops can be ranked by and whose errors nearly add up: kl, logits_sse and hidden_sse, by all
// positions and then by answers.
inline constexpr std::array kRankable{Which::kl, Which::logits_sse, Which::hidden_sse};
inline constexpr auto kRankingMetrics = [] {
  std::array<Metric, kAllScopes.size() * kRankable.size()> metrics{};
  size_t n = 0;
  for (Scope scope : kAllScopes)
    for (Which which : kRankable) metrics[n++] = {which, scope};
  return metrics;
}();

std::string name(Metric metric);  // "kl:all"
// Parses NAME[:all|answer]; Error for an unknown name or scope (with the valid ones) and for metrics that are
// too noisy to rank by (with the reason).
Metric parse_metric(std::string_view text);

}  // namespace qsweep::scores
