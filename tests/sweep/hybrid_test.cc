// The hybrid estimate's formula, worked out a second time.
#include "sweep/hybrid.h"

#include <cmath>

#include <gtest/gtest.h>

#include "base/rng.h"

namespace qsweep::sweep {
namespace {

struct Op {
  std::string group;
  std::vector<pass::ProbeProducts> products;
};

constexpr int64_t kProbes = 3, kSamples = 4;

std::vector<Op> random_ops() {
  Rng rng(5);
  std::vector<Op> ops;
  for (const char* group :
       {"vision/qkv", "vision/qkv", "language/q_proj", "language/q_proj", "language/q_proj"}) {
    Op& op = ops.emplace_back(Op{group, {}});
    for (int64_t i = 0; i < kProbes * kSamples; ++i)
      op.products.push_back({.whole = 4 * rng.uniform() - 2, .token = rng.uniform()});
  }
  ops[3].products.assign(kProbes * kSamples, {});  // no error at all
  return ops;
}

std::vector<HybridEstimate> estimates_of(const std::vector<Op>& ops) {
  std::vector<HybridInput> inputs;
  for (const Op& op : ops) inputs.push_back({op.group, kProbes, kSamples, op.products});
  return hybrid_estimates(inputs);
}

double token(const Op& op, int64_t s) {
  double sum = 0;
  for (int64_t p = 0; p < kProbes; ++p) sum += op.products[static_cast<size_t>(p * kSamples + s)].token;
  return sum / kProbes;
}

double ratio(const Op& op) {
  double whole = 0, sum = 0;
  for (const pass::ProbeProducts& p : op.products) whole += p.whole * p.whole;
  for (int64_t s = 0; s < kSamples; ++s) sum += token(op, s);
  return whole / (kProbes * sum);
}

double noise(const Op& op) {
  double squares = 0, sum = 0;
  for (int64_t s = 0; s < kSamples; ++s) {
    squares += token(op, s) * token(op, s);
    sum += token(op, s);
  }
  return 2.0 / kProbes * squares / (sum * sum);
}

// The spread of the token form over the probes, relative to its mean: the mean's variance.
double token_variance(const Op& op) {
  double mean = 0, deviations = 0;
  std::vector<double> sums(kProbes);
  for (size_t i = 0; i < op.products.size(); ++i) sums[i / kSamples] += op.products[i].token;
  for (const double sum : sums) mean += sum / kProbes;
  for (const double sum : sums) deviations += (sum - mean) * (sum - mean) / (kProbes - 1);
  return deviations / kProbes / (mean * mean);
}

TEST(Hybrid, FollowsTheFormula) {
  const std::vector<Op> ops = random_ops();
  const auto estimates = estimates_of(ops);
  for (const std::vector<size_t>& group : {std::vector<size_t>{0, 1}, std::vector<size_t>{2, 4}}) {
    double numerator = 25, denominator = 25;
    for (const size_t i : group) {
      numerator += ratio(ops[i]) / (noise(ops[i]) + 0.0225);
      denominator += 1 / (noise(ops[i]) + 0.0225);
    }
    for (const size_t i : group) {
      const double mu = numerator / denominator, lambda = 0.0225 / (0.0225 + noise(ops[i]));
      for (int64_t s = 0; s < kSamples; ++s)
        EXPECT_NEAR(estimates[i].per_sample[static_cast<size_t>(s)],
                    token(ops[i], s) * std::max(0.2, mu + lambda * (ratio(ops[i]) - mu)), 1e-12);
      EXPECT_NEAR(estimates[i].coherence, ratio(ops[i]), 1e-12);
      // The ratio's own noise as far as it is trusted, that of the group's mean for the rest.
      const double left = lambda * noise(ops[i]) + (1 - lambda) * (1 - lambda) / denominator;
      const double shrunk = std::max(0.2, mu + lambda * (ratio(ops[i]) - mu));
      EXPECT_NEAR(estimates[i].relative_standard_error,
                  std::sqrt(token_variance(ops[i]) + left / (shrunk * shrunk)), 1e-12);
    }
  }
}

// Whole forms of zero: without the floor the score would be nearly zero, however large the token form.
TEST(Hybrid, ARatioIsAtLeastAFifth) {
  constexpr int64_t kMany = 64;
  const std::vector<pass::ProbeProducts> products(kMany * kMany, {.whole = 0, .token = 3});
  const std::vector<HybridInput> ops{{"vision/qkv", kMany, kMany, products}};
  const HybridEstimate estimate = hybrid_estimates(ops).front();
  EXPECT_EQ(estimate.coherence, 0);
  const double noise = 2.0 / kMany / kMany, weight = 1 / (noise + 0.0225), lambda = 0.0225 * weight;
  ASSERT_LT((1 - lambda) * 25 / (25 + weight), 0.2);
  for (const double value : estimate.per_sample) EXPECT_NEAR(value, 0.2 * 3, 1e-12);
  const double left = lambda * noise + (1 - lambda) * (1 - lambda) / (25 + weight);
  EXPECT_NEAR(estimate.relative_standard_error, std::sqrt(left) / 0.2, 1e-12);
}

TEST(Hybrid, AnOpWithoutErrorGetsZeroAndMovesNobody) {
  std::vector<Op> ops = random_ops();
  const auto with = estimates_of(ops);
  for (const double value : with[3].per_sample) EXPECT_EQ(value, 0.0);
  ops.erase(ops.begin() + 3);
  const auto without = estimates_of(ops);
  EXPECT_EQ(with[2].per_sample, without[2].per_sample);
  EXPECT_EQ(with[4].per_sample, without[3].per_sample);
}

}  // namespace
}  // namespace qsweep::sweep
