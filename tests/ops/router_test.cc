// Routing against loops in f64: choices, weights, how both change for changes of any size, and gradients.
#include "ops/router.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/rng.h"
#include "support/random.h"

namespace qsweep::ops::router {
namespace {

constexpr size_t kExperts = 7;

std::vector<float> random_logits(Rng& rng, double size) {
  std::vector<float> logits = testing::normals(rng, kExperts);
  for (float& logit : logits) logit *= static_cast<float>(size);
  return logits;
}

// Per expert; 0 of those that are not chosen.
std::vector<long double> weights_of(const Rule& rule, std::span<const long double> logits) {
  std::vector<size_t> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  const size_t chosen = static_cast<size_t>(rule.chosen);
  const size_t in_softmax = rule.softmax == Softmax::over_all ? logits.size() : chosen;
  long double sum = 0;
  for (size_t i = 0; i < in_softmax; ++i) sum += std::exp(logits[order[i]]);
  std::vector<long double> weights(logits.size());
  for (size_t i = 0; i < chosen; ++i) weights[order[i]] = std::exp(logits[order[i]]) / sum;
  return weights;
}

std::vector<long double> wide(std::span<const float> values) { return {values.begin(), values.end()}; }

// In a row of all experts.
std::vector<double> spread(std::span<const Share> shares) {
  std::vector<double> all(kExperts);
  for (const auto& [expert, weight] : shares) all[static_cast<size_t>(expert)] = weight;
  return all;
}

class RouterTest : public ::testing::TestWithParam<Softmax> {
 protected:
  const Rule rule{.chosen = 3, .softmax = GetParam()};
};

TEST_P(RouterTest, TheLargestAreChosenInTheirOrder) {
  Rng rng(1);
  for (int i = 0; i < 100; ++i) {
    const std::vector<float> logits = random_logits(rng, 2);
    const std::vector<Share> shares = choose(rule, logits);
    const std::vector<long double> expected = weights_of(rule, wide(logits));
    const std::vector<double> found = spread(shares);
    for (size_t e = 0; e < kExperts; ++e) EXPECT_NEAR(found[e], static_cast<double>(expected[e]), 1e-14);
    EXPECT_TRUE(std::ranges::is_sorted(shares, std::ranges::greater{}, &Share::weight));
  }
}

TEST_P(RouterTest, OfEqualLogitsTheFirstIsChosen) {
  const std::vector<float> logits{1, 2, 1, 0, 1, 1, 0};
  std::vector<int32_t> experts;
  for (const Share& s : choose(rule, logits)) experts.push_back(s.expert);
  EXPECT_EQ(experts, (std::vector<int32_t>{1, 0, 2}));
}

// Small changes keep their relative error: they are not the difference of two weights.
TEST_P(RouterTest, ChangesOfAnySize) {
  Rng rng(2);
  int flips = 0;
  for (const double size : {1e-6, 1e-3, 0.1, 1.0, 30.0})
    for (int i = 0; i < 100; ++i) {
      const std::vector<float> logits = random_logits(rng, 2), dlogits = random_logits(rng, size);
      const std::vector<Share> before = choose(rule, logits);
      const Change found = change(rule, logits, before, dlogits);
      std::vector<long double> changed = wide(logits);
      for (size_t e = 0; e < kExperts; ++e) changed[e] += static_cast<long double>(dlogits[e]);
      const std::vector<long double> was = weights_of(rule, wide(logits)), is = weights_of(rule, changed);
      const std::vector<double> after = spread(found.shares), moved = spread(found.moved);
      bool flipped = false;
      long double largest = 0;
      for (size_t e = 0; e < kExperts; ++e) largest = std::max(largest, std::fabs(is[e] - was[e]));
      for (size_t e = 0; e < kExperts; ++e) {
        EXPECT_NEAR(after[e], static_cast<double>(is[e]), 1e-6);
        EXPECT_NEAR(moved[e], static_cast<double>(is[e] - was[e]), 1e-6 * static_cast<double>(largest))
            << "changes of " << size;
        flipped = flipped || (was[e] == 0) != (is[e] == 0);
      }
      EXPECT_EQ(found.flipped, flipped);
      flips += flipped ? 1 : 0;
    }
  EXPECT_GT(flips, 50);
  EXPECT_LT(flips, 450);
}

TEST_P(RouterTest, GradientsByDifferences) {
  Rng rng(3);
  const std::vector<float> logits = random_logits(rng, 1);
  const std::vector<Share> shares = choose(rule, logits);
  const std::vector<double> gradients{0.5, -1.5, 2};
  std::vector<float> found(kExperts, 1);
  vjp(rule, logits, shares, gradients, found);
  const auto number = [&](size_t e, long double step) {
    std::vector<long double> moved = wide(logits);
    moved[e] += step;
    const std::vector<long double> weights = weights_of(rule, moved);
    long double sum = 0;
    for (size_t i = 0; i < shares.size(); ++i)
      sum += static_cast<long double>(gradients[i]) * weights[static_cast<size_t>(shares[i].expert)];
    return sum;
  };
  for (size_t e = 0; e < kExperts; ++e) {
    const long double slope = (number(e, 1e-5L) - number(e, -1e-5L)) / 2e-5L;
    EXPECT_NEAR(found[e] - 1, static_cast<double>(slope), 1e-6) << e;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RouterTest, ::testing::Values(Softmax::over_all, Softmax::over_chosen),
                         [](const auto& one) {
                           return std::string(one.param == Softmax::over_all ? "OverAll" : "OverChosen");
                         });

}  // namespace
}  // namespace qsweep::ops::router
