// The closed loop of recipes, on the tiny model.
#include "sweep/recipe_search.h"

#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "choose/question.h"
#include "scores/eval.h"
#include "support/compare.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using testing::kKl;
using testing::TinyRun;

constexpr int64_t kSearchMemory = int64_t{4} << 30;

class RecipeSearchSlow : public ::testing::Test {
 protected:
  RecipeSearchSlow() {
    const auto [run, report, sketches] =
        tiny_.score({.formats = testing::formats({"w4a16_g32", "w8a16"}), .sketch = 16});
    std::vector<int64_t> samples(tiny_.data.size());
    std::iota(samples.begin(), samples.end(), int64_t{0});
    question_ = choose::ask(run, {.metric = kKl}, sketches->interactions(kKl.scope, samples, Threads{2}));
  }
  int64_t bits(double per_weight) const {
    return static_cast<int64_t>(per_weight * static_cast<double>(question_->problem.weights()));
  }
  sweep::Setting setting() const {
    return {tiny_.model, context_, tiny_.data, tiny_.calibration, false, kSearchMemory};
  }

  const TinyRun tiny_{testing::kOracleSamples};
  kernels::Gemm gemm_{Threads{2}};
  const ops::Context context_{gemm_};
  std::optional<choose::Question> question_;
};

TEST_F(RecipeSearchSlow, MeasuresTheBestCandidatesOfEveryBudgetAndPicksOne) {
  const std::vector<int64_t> budgets{bits(5), bits(6), bits(7)};
  sweep::RecipeSearch search(setting(), question_->problem, budgets,
                             {.metric = kKl, .candidates = 4, .held_out = {2, 5}});
  search.prepare();
  EXPECT_LE(search.first_recipes(), 12u);
  EXPECT_GE(search.first_recipes(), 6u);
  const std::vector<sweep::SearchResult> results = search.run({});
  ASSERT_EQ(results.size(), 3u);
  for (size_t b = 0; b < budgets.size(); ++b) {
    const sweep::SearchResult& result = results[b];
    ASSERT_TRUE(result.verdict.has_value());
    EXPECT_GE(result.measured.recipes.size(), 4u);
    EXPECT_LE(result.measured.recipes.size(), 8u);
    std::set<choose::Selection> distinct;
    for (const choose::Measured& recipe : result.measured.recipes) {
      EXPECT_TRUE(distinct.insert(recipe.selection).second) << "measured twice";
      EXPECT_LE(question_->problem.bits(recipe.selection), budgets[b]);
      EXPECT_EQ(recipe.errors.size(), tiny_.data.size());
    }
    // Close to what is measured, by which it was corrected.
    EXPECT_NEAR(result.verdict->predicted / result.verdict->seen.error, 1, 0.25);
    EXPECT_TRUE(result.verdict->held_out.has_value());
    EXPECT_LT(result.verdict->seen.error, b > 0 ? results[b - 1].verdict->seen.error : 1);
  }
}

// Neither the rounds nor the pick may know what others are there to judge.
TEST_F(RecipeSearchSlow, HeldOutSamplesHaveNoPartInIt) {
  const auto search_with = [&](size_t third) {
    std::vector<models::Sample> data{tiny_.data[0], tiny_.data[1], tiny_.data[third]};
    const sweep::Setting setting{tiny_.model, context_, data, tiny_.calibration, false, kSearchMemory};
    sweep::RecipeSearch search(setting, question_->problem, {bits(6)},
                               {.metric = kKl, .candidates = 3, .held_out = {2}});
    search.prepare();
    return std::move(search.run({}).front());
  };
  const sweep::SearchResult one = search_with(3), other = search_with(4);
  ASSERT_EQ(one.measured.recipes.size(), other.measured.recipes.size());
  EXPECT_GT(one.measured.recipes.size(), 3u) << "a second round";
  for (size_t i = 0; i < one.measured.recipes.size(); ++i)
    EXPECT_EQ(one.measured.recipes[i].selection, other.measured.recipes[i].selection) << i;
  EXPECT_EQ(one.verdict->chosen, other.verdict->chosen);
  EXPECT_NEAR(one.verdict->predicted / other.verdict->predicted, 1, 1e-6);
  EXPECT_NE(one.verdict->held_out->error, other.verdict->held_out->error);
}

// What the loop says of a recipe is what an evaluation of it alone says.
TEST_F(RecipeSearchSlow, ErrorsAreThoseOfTheRecipesAlone) {
  sweep::RecipeSearch search(setting(), question_->problem, {bits(6)},
                             {.metric = kKl, .candidates = 2, .rounds = 1});
  search.prepare();
  const sweep::SearchResult result = std::move(search.run({}).front());
  ASSERT_EQ(result.measured.recipes.size(), 2u);
  for (const choose::Measured& recipe : result.measured.recipes) {
    sweep::RecipeFormats formats{.name = "alone", .rules_file = "", .formats = {}};
    formats.formats.resize(tiny_.model.ops.size());
    for (size_t d = 0; d < question_->problem.size(); ++d)
      for (const size_t op : question_->problem.decisions()[d].ops)
        formats.formats[op] =
            question_->problem.decisions()[d].choices[static_cast<size_t>(recipe.selection[d])].format;
    sweep::Evaluation alone(setting(), {formats});
    alone.prepare();
    const scores::EvalRun run = alone.run(kKl, {});
    for (size_t s = 0; s < recipe.errors.size(); ++s)
      EXPECT_NEAR(recipe.errors[s], run.recipes[0].sample_errors[0][s], 1e-6 * recipe.errors[s]) << s;
  }
}

}  // namespace
}  // namespace qsweep
