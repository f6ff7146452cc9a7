#include "choose/pick.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "choose/verdict.h"
#include "random_problem.h"

namespace qsweep::choose {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Measurements with_errors(const std::vector<std::vector<double>>& errors) {
  Measurements measured{.positions = std::vector<double>(errors.front().size(), 10), .recipes = {}};
  for (const auto& of_recipe : errors) measured.recipes.push_back({{}, of_recipe});
  return measured;
}

TEST(Pick, TakesThePredictionsWordWhereSamplesCannotTell) {
  // Differences to the first: mean 0.1 with a standard error of 0.3, and mean 1 with none.
  const Measurements measured = with_errors({{1, 2, 3}, {1.7, 1.9, 2.7}, {2, 3, 4}});
  EXPECT_EQ(best_measured(measured), 0u);
  EXPECT_EQ(pick(measured, std::vector<double>{5, 5, 5}), 0u);
  EXPECT_EQ(pick(measured, std::vector<double>{5, 4, 5}), 1u);
  EXPECT_EQ(pick(measured, std::vector<double>{5, 4, 0.1}), 1u) << "the third is told apart";
  EXPECT_EQ(pick(measured, std::vector<double>{5, 4.9, 5}), 0u) << "the product counts: 30 and 30.87";
}

TEST(Pick, OneSampleTellsAll) {
  EXPECT_EQ(pick(with_errors({{2}, {1}, {1.5}}), std::vector<double>{1, 9, 1}), 1u);
}

TEST(Pick, LeavesOutWhatOverflowed) {
  EXPECT_EQ(pick(with_errors({{NAN, 1}, {3, 3}}), std::vector<double>{1, 1}), 1u);
  EXPECT_EQ(pick(with_errors({{NAN, 1}, {INFINITY, 3}}), std::vector<double>{1, 1}), std::nullopt);
  EXPECT_EQ(pick({}, {}), std::nullopt);
}

TEST(PairedRatio, HasTheIntervalOfARatio) {
  const Ratio same = paired_ratio(std::vector<double>{2, 4, 6}, std::vector<double>{1, 2, 3});
  EXPECT_DOUBLE_EQ(same.value, 2);
  EXPECT_DOUBLE_EQ(same.interval->low, 2);
  // r = 9 / 6; residuals 2 - 1.5, 2 - 3, 5 - 4.5; se = sqrt(3/2 * 1.5) / 6 = 0.25; t(0.975, 2) = 4.3027.
  const Ratio ratio = paired_ratio(std::vector<double>{2, 2, 5}, std::vector<double>{1, 2, 3});
  EXPECT_DOUBLE_EQ(ratio.value, 1.5);
  EXPECT_NEAR(ratio.interval->high, 1.5 * std::exp(4.302652729911275 * 0.25 / 1.5), 1e-9);
  EXPECT_NEAR(ratio.interval->low, 1.5 * std::exp(-4.302652729911275 * 0.25 / 1.5), 1e-9);
  EXPECT_FALSE(paired_ratio(std::vector<double>{1}, std::vector<double>{2}).interval);
  EXPECT_FALSE(paired_ratio(std::vector<double>{1, 1}, std::vector<double>{0, 0}).interval);
}

TEST(Verdict, AThirdIsHeldOutOfTwelve) {
  EXPECT_EQ(usually_held_out(11), 0u);
  EXPECT_EQ(usually_held_out(12), 4u);
  EXPECT_THAT(held_out_samples(11, 0), IsEmpty());
  EXPECT_THAT(held_out_samples(12, 4), ElementsAre(2, 5, 8, 11));
  EXPECT_THAT(held_out_samples(13, 4), ElementsAre(2, 5, 8, 12));
  EXPECT_THAT(held_out_samples(3, 2), ElementsAre(0, 2));
}

class VerdictOfThree : public ::testing::Test {
 protected:
  const Problem problem = random_problem({.decisions = 3}, 1);
  // Samples 1 and 3 are held out; the first recipe is best on them, the second on the others.
  const std::vector<size_t> held_out{1, 3};
  Measurements measured{.positions = {10, 10, 10, 10},
                        .recipes = {{Selection{0, 0, 0}, {4, 0.1, 4.1, 0.1}},
                                    {Selection{1, 1, 1}, {1, 5, 1.1, 5}},
                                    {Selection{1, 1, 2}, {2, 6, 2.1, 6}}}};
};

TEST_F(VerdictOfThree, HeldOutSamplesJudgeButDoNotChoose) {
  const auto verdict = judge(problem, measured, held_out, 0);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->chosen, 1u);
  EXPECT_EQ(verdict->runner_up, 2u);
  EXPECT_DOUBLE_EQ(verdict->seen.error, 2.1 / 20);
  EXPECT_LT(verdict->seen.interval->low, verdict->seen.error);
  // r = 2.1 / 20, residuals -0.05 and 0.05: se = sqrt(2 * 0.005) / 20 = 0.005; t(0.975, 1) = 12.7062.
  EXPECT_NEAR(verdict->seen.interval->high, 0.105 * std::exp(12.706204736432095 * 0.005 / 0.105), 1e-9);
  EXPECT_DOUBLE_EQ(verdict->seen.over_additive->value, 2.1 / 8.1);
  EXPECT_DOUBLE_EQ(verdict->seen.over_runner_up->value, 2.1 / 4.1);
  ASSERT_TRUE(verdict->held_out);
  EXPECT_DOUBLE_EQ(verdict->held_out->error, 10.0 / 20);
  EXPECT_DOUBLE_EQ(verdict->held_out->over_additive->value, 10 / 0.2);
  for (Measured& recipe : measured.recipes) recipe.errors[1] = recipe.errors[3] = 7;
  const auto other = judge(problem, measured, held_out, 0);
  EXPECT_EQ(other->chosen, verdict->chosen);
  EXPECT_EQ(other->predicted, verdict->predicted) << "the refit must not know them";
  EXPECT_EQ(other->seen.error, verdict->seen.error);
}

TEST_F(VerdictOfThree, WithoutHeldOutSamples) {
  const auto verdict = judge(problem, measured, {}, std::nullopt);
  ASSERT_TRUE(verdict);
  EXPECT_DOUBLE_EQ(verdict->seen.error, measured.per_position(verdict->chosen)) << "of all four";
  EXPECT_FALSE(verdict->held_out);
  EXPECT_FALSE(verdict->seen.over_additive);
  measured.recipes.resize(1);
  EXPECT_EQ(judge(problem, measured, {}, 0)->runner_up, std::nullopt);
  measured.recipes.front().errors[0] = NAN;
  EXPECT_FALSE(judge(problem, measured, {}, 0));
}

}  // namespace
}  // namespace qsweep::choose
