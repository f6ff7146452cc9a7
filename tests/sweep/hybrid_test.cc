// The hybrid estimate's formula, worked out a second time.
#include "sweep/hybrid.h"

#include <cmath>

#include <gtest/gtest.h>

#include "base/rng.h"

namespace qsweep::sweep {
namespace {

struct Op {
  std::string group;
  std::vector<ProbeProducts> products;
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
  for (const ProbeProducts& p : op.products) whole += p.whole * p.whole;
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
      EXPECT_TRUE(estimates[i].relative_standard_error > 0);
    }
  }
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
