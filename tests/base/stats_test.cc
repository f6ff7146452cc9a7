#include "base/stats.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "base/error.h"

namespace qsweep {
namespace {

using Values = std::vector<double>;

void expect_near(double found, double expected, double relative) {
  EXPECT_TRUE(std::fabs(found - expected) <= relative * std::fabs(expected)) << found << " for " << expected;
}

TEST(Stats, QuantilesInterpolateBetweenOrderStatistics) {
  const Values values{4, 1, 3, 2};
  EXPECT_EQ(median(values), 2.5);
  EXPECT_EQ(quantile(values, 0), 1);
  EXPECT_EQ(quantile(values, 1), 4);
  EXPECT_EQ(quantile(values, 0.25), 1.75);
  EXPECT_EQ(median(Values{7}), 7);
  EXPECT_THROW(median(Values{}), ContractError);
}

TEST(Stats, TiesShareTheirAverageRank) {
  EXPECT_EQ(average_ranks(Values{10, 20, 10, 5}), (Values{2.5, 4, 2.5, 1}));
  EXPECT_EQ(average_ranks(Values{1, 1, 1}), (Values{2, 2, 2}));
  EXPECT_THROW(average_ranks(Values{1, std::nan("")}), ContractError);
}

TEST(Stats, SpearmanByHand) {
  EXPECT_EQ(spearman(Values{1, 2, 3}, Values{10, 100, 1000}), 1);
  EXPECT_EQ(spearman(Values{1, 2, 3}, Values{3, 2, 1}), -1);
  // Without ties 1 - 6 sum d^2 / (n (n^2 - 1)) = 1 - 6 * 2 / 60.
  expect_near(spearman(Values{1, 2, 3, 4}, Values{2, 1, 3, 4}), 0.8, 1e-15);
  // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
  expect_near(spearman(Values{1, 2, 2, 3}, Values{1, 2, 3, 4}), 4.5 / std::sqrt(22.5), 1e-15);
}

TEST(Stats, CorrelationsOfAConstantAreUndefined) {
  EXPECT_TRUE(std::isnan(spearman(Values{1, 1, 1}, Values{1, 2, 3})));
  EXPECT_TRUE(std::isnan(spearman(Values{1}, Values{1})));
  EXPECT_TRUE(std::isnan(kendall_tau_b(Values{1, 2}, Values{5, 5})));
  EXPECT_THROW(spearman(Values{1, 2}, Values{1}), ContractError);
}

TEST(Stats, KendallByHand) {
  EXPECT_EQ(kendall_tau_b(Values{1, 2, 3}, Values{1, 2, 3}), 1);
  // One of six pairs is discordant.
  expect_near(kendall_tau_b(Values{1, 2, 3, 4}, Values{2, 1, 3, 4}), 4.0 / 6, 1e-15);
  // Five concordant pairs, one tied in x: 5 / sqrt(5 * 6).
  expect_near(kendall_tau_b(Values{1, 2, 2, 3}, Values{1, 2, 3, 4}), 5 / std::sqrt(30.0), 1e-15);
}

// Tables of the t distribution, to the digits they print.
TEST(Stats, StudentQuantilesOfTheTable) {
  const struct {
    double p, dof, t;
  } table[] = {{.975, 1, 12.7062047},  {.975, 2, 4.30265273},   {.975, 3, 3.18244631}, {.975, 10, 2.22813885},
               {.975, 30, 2.04227246}, {.975, 100, 1.98397152}, {.95, 5, 2.01504837},  {.995, 4, 4.60409487},
               {.9, 1, 3.07768354},    {.999, 7, 4.78528963}};
  for (const auto& row : table) {
    expect_near(student_t_quantile(row.p, row.dof), row.t, 1e-8);
    expect_near(student_t_quantile(1 - row.p, row.dof), -row.t, 1e-8);
  }
}

TEST(Stats, StudentQuantilesInClosedForm) {
  const double pi = std::acos(-1.0);
  for (double p : {.5001, .6, .75, .9, .975, .9999, 1 - 1e-9}) {
    // dof 1 is the Cauchy distribution; dof 2 has t = (2p - 1) sqrt(2 / (4 p (1 - p))).
    expect_near(student_t_quantile(p, 1), std::tan(pi * (p - .5)), 1e-6);
    expect_near(student_t_quantile(p, 2), (2 * p - 1) * std::sqrt(1 / (2 * p * (1 - p))), 1e-6);
  }
  expect_near(student_t_quantile(.975, 1e7), 1.95996398, 1e-6);
  EXPECT_EQ(student_t_quantile(.5, 3), 0);
  EXPECT_THROW(student_t_quantile(1, 3), ContractError);
  EXPECT_THROW(student_t_quantile(.9, 0), ContractError);
  EXPECT_THROW(student_t_quantile(std::nan(""), 3), ContractError);
}

}  // namespace
}  // namespace qsweep
