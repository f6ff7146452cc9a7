#include "choose/difference.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "scores/joint.h"
#include "small_run.h"

namespace qsweep::choose {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const quant::Format* const kEight = &quant::find_format("w8a8");
const quant::Format* const kFour = &quant::find_format("w4a16_g32");
constexpr const quant::Format* kFloat = nullptr;

// q, k, v and both down_proj in A; B takes q, k and v to four bits, the second down_proj back to float, and
// the head to eight.
const FormatPerOp kA{kEight, kEight, kEight, kFour, kEight, kFloat, kFloat};
const FormatPerOp kB{kFour, kFour, kFour, kFour, kFloat, kFloat, kEight};

std::vector<std::string> names(const Difference& difference) {
  std::vector<std::string> names;
  for (const Change& change : difference.changes) names.push_back(change.name);
  return names;
}

double sum_of_shares(const Difference& difference) {
  double sum = 0;
  for (const Change& change : difference.changes) sum += change.error.value();
  return sum;
}

// Per position of 30, from products 0.01 (i + 1) (j + 1) of the scores by index, 7 more in four bits.
double predicted_by_hand(const FormatPerOp& formats) {
  double sum = 0, ranks = 0, squares = 0;
  for (size_t op = 0; op < formats.size(); ++op) {
    if (formats[op] == kFloat) continue;
    const double rank = static_cast<double>(op) + 1 + (formats[op] == kFour ? 7 : 0);
    sum += static_cast<double>(op + 1) * (formats[op] == kFour ? 10 : 1);
    ranks += rank;
    squares += rank * rank;
  }
  return (sum + 0.01 * (ranks * ranks - squares)) / 30;
}

TEST(DifferenceOfRecipes, BitsAndGroups) {
  const scores::Run run = small_run();
  const Difference found = difference(run, kA, kB, {}, std::nullopt);
  EXPECT_THAT(names(found),
              ElementsAre("model.layers.0.self_attn.qkv", "model.layers.1.mlp.down_proj", "lm_head"));
  EXPECT_THAT(found.changes[0].ops, ElementsAre(0, 1, 2));
  EXPECT_EQ(found.changes[0].from, kEight);
  EXPECT_EQ(found.changes[0].to, kFour);
  EXPECT_EQ(found.same, 2u);
  // 8 bits per weight and 32 per row; 4.5 per weight.
  EXPECT_EQ(found.changes[0].stored_bits, 1024 * 9 / 2 - (1024 * 8 + 16 * 32));
  EXPECT_EQ(found.changes[1].stored_bits, 768 * 16 - (768 * 8 + 8 * 32));
  EXPECT_EQ(found.changes[2].stored_bits, 1024 * 8 + 16 * 32 - 1024 * 16);
  EXPECT_EQ(found.a.stored_bits, 1024 * 8 + 16 * 32 + 768 * 9 / 2 + 768 * 8 + 8 * 32 + 512 * 16 + 1024 * 16);
  EXPECT_EQ(found.b.stored_bits - found.a.stored_bits,
            found.changes[0].stored_bits + found.changes[1].stored_bits + found.changes[2].stored_bits);
  EXPECT_DOUBLE_EQ(found.a.effective_bits, static_cast<double>(found.a.stored_bits) / 4096);
  EXPECT_EQ(found.a.checkpoint_bytes, 1000 + found.a.stored_bits / 8);
}

TEST(DifferenceOfRecipes, AGroupThatIsSplitIsTakenApart) {
  FormatPerOp split = kA;
  split[1] = kFour;
  const Difference found = difference(small_run(), kA, split, {}, std::nullopt);
  EXPECT_THAT(names(found), ElementsAre("model.layers.0.self_attn.k_proj"));
  EXPECT_THAT(names(difference(small_run(), split, kB, {}, std::nullopt)),
              ElementsAre("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj",
                          "model.layers.1.mlp.down_proj", "lm_head"));
}

TEST(DifferenceOfRecipes, PairsAreSharedOut) {
  const Difference found = difference(small_run(), kA, kB, {}, small_interactions());
  ASSERT_EQ(found.predictor, Predictor::pairs);
  EXPECT_DOUBLE_EQ(*found.a.predicted, predicted_by_hand(kA));
  EXPECT_DOUBLE_EQ(*found.b.predicted, predicted_by_hand(kB));
  EXPECT_DOUBLE_EQ(*found.a.plain_sum, (1 + 2 + 3 + 40 + 5) / 30.0);
  EXPECT_NEAR(*found.error, predicted_by_hand(kB) - predicted_by_hand(kA), 1e-15);
  EXPECT_NEAR(sum_of_shares(found), *found.error, 1e-14);
  // The head comes: 7 alone, and its pairs with what A has, 1 + 2 + 3 + 11 + 5, and B, 8 + 9 + 10 + 11.
  EXPECT_NEAR(*found.changes[2].error, (7 + 0.01 * 7 * (22 + 38)) / 30, 1e-15);
}

TEST(DifferenceOfRecipes, SharesAreTheMeanOfFirstAndLast) {
  std::mt19937 random(3);
  const auto any = [&] { return std::array{kFloat, kEight, kFour}[random() % 3]; };
  for (const auto& interactions :
       {std::optional(small_interactions()), std::optional<scores::Interactions>()})
    for (int round = 0; round < 50; ++round) {
      FormatPerOp a, b;
      for (int op = 0; op < 7; ++op) {
        a.push_back(any());
        b.push_back(any());
      }
      const scores::Run run = small_run();
      const Difference found = difference(run, a, b, {}, interactions);
      ASSERT_TRUE(found.error);
      EXPECT_NEAR(sum_of_shares(found), *found.error, 1e-12);
      const auto predicted = [&](const FormatPerOp& f) {
        return *difference(run, f, f, {}, interactions).a.predicted;
      };
      for (const Change& change : found.changes) {
        if (change.ops.size() > 1) continue;
        FormatPerOp first = a, before_last = b;
        first[change.ops[0]] = b[change.ops[0]];
        before_last[change.ops[0]] = a[change.ops[0]];
        EXPECT_NEAR(*change.error,
                    (predicted(first) - predicted(a) + predicted(b) - predicted(before_last)) / 2, 1e-12);
      }
    }
}

TEST(DifferenceOfRecipes, WithoutPairsBaselinesCorrect) {
  const scores::Run run = small_run();
  const Difference found = difference(run, kA, kB, {}, std::nullopt);
  ASSERT_EQ(found.predictor, Predictor::kappa);
  // 56 of 28 in eight bits, 140 of 280 in four: kappa 2 and 0.5.
  EXPECT_NEAR(*found.a.predicted, 51 * (1 + (2 - 1) * 11 / 28.0 + (0.5 - 1) * 40 / 280.0) / 30, 1e-15);
  EXPECT_NEAR(*found.b.predicted, 107 * (1 + (2 - 1) * 7 / 28.0 + (0.5 - 1) * 100 / 280.0) / 30, 1e-15);
  EXPECT_NEAR(sum_of_shares(found), *found.error, 1e-14);
}

TEST(DifferenceOfRecipes, WithoutBaselinesItIsTheSum) {
  scores::Run run = small_run();
  run.baselines.clear();
  const Difference found = difference(run, kA, kB, {}, std::nullopt);
  ASSERT_EQ(found.predictor, Predictor::sum);
  EXPECT_DOUBLE_EQ(*found.changes[0].error, (60 - 6) / 30.0);
  EXPECT_DOUBLE_EQ(*found.changes[1].error, -5 / 30.0);
  EXPECT_DOUBLE_EQ(*found.error, (107 - 51) / 30.0);
}

TEST(DifferenceOfRecipes, WhatHasNoScoreIsNamed) {
  scores::Run run = small_run();
  run.baselines.clear();
  std::erase_if(run.scores, [](const auto& s) { return s.format == "w8a8" && s.op == 4; });
  const Difference found = difference(run, kA, kB, {}, small_interactions());
  EXPECT_THAT(found.a.unscored, ElementsAre("model.layers.1.mlp.down_proj"));
  EXPECT_THAT(found.b.unscored, IsEmpty());
  EXPECT_EQ(found.changes[1].error, std::nullopt);
  EXPECT_EQ(found.error, std::nullopt);
  EXPECT_TRUE(found.changes[0].error);
  // In both, it changes nothing.
  FormatPerOp head = kA;
  head[6] = kEight;
  EXPECT_NEAR(difference(run, kA, head, {}, std::nullopt).error.value(), 7 / 30.0, 1e-15);
}

TEST(DifferenceOfRecipes, WithoutIsolatedScoresOnlyBitsAreKnown) {
  scores::Run run = small_run();
  for (scores::ScoreRecord& score : run.scores) score.mode = scores::Mode::leave_one_out;
  const Difference found = difference(run, kA, kB, {}, std::nullopt);
  EXPECT_EQ(found.predictor, std::nullopt);
  EXPECT_EQ(found.a.predicted, std::nullopt);
  EXPECT_EQ(found.error, std::nullopt);
  EXPECT_EQ(found.changes.size(), 3u);
}

TEST(DifferenceOfRecipes, OfOneRecipeIsNothing) {
  const Difference found = difference(small_run(), kA, kA, {}, small_interactions());
  EXPECT_THAT(found.changes, IsEmpty());
  EXPECT_EQ(found.same, 7u);
  EXPECT_EQ(found.error, 0);
}

}  // namespace
}  // namespace qsweep::choose
