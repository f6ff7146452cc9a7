// Statistical claims, on the trained tiny model: joint errors predicted from single ones, and the coverage of
// confidence intervals. QSWEEP_FULL=1 in the environment takes more of everything.
#include <cstdlib>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "base/rng.h"
#include "base/stats.h"
#include "scores/eval.h"
#include "scores/interval.h"
#include "scores/joint.h"
#include "sweep/evaluate.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using scores::Which;
using testing::full;
using testing::kLogits;
using testing::TinyRun;

// Random sets of a quarter, a half and three quarters of the ops.
std::vector<sweep::RecipeFormats> random_subsets(const quant::Format& format, size_t ops, int count) {
  std::vector<sweep::RecipeFormats> recipes;
  for (int i = 0; i < count; ++i) {
    std::vector<size_t> order(ops);
    for (size_t op = 0; op < ops; ++op) order[op] = op;
    Rng(11, static_cast<uint64_t>(i)).shuffle(std::span(order));
    sweep::RecipeFormats& recipe = recipes.emplace_back();
    recipe.name = fmt::format("{} quarters, {}", i % 3 + 1, i);
    recipe.formats.resize(ops);
    for (size_t op = 0; op < ops * static_cast<size_t>(i % 3 + 1) / 4; ++op)
      recipe.formats[order[op]] = &format;
  }
  return recipes;
}

TEST(StatisticsSlow, JointErrorsArePredicted) {
  const TinyRun tiny(testing::kOracleSamples);
  const std::vector<std::string> names{"w8a8", "w4a8", "nvfp4"};
  const auto run = tiny.score({.formats = testing::formats(names)}).run;
  const auto model = scores::JointModel::from_run(run, kLogits);
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  for (const std::string& name : names) {
    const auto subsets = random_subsets(quant::find_format(name), tiny.model.ops.size(), full() ? 50 : 9);
    sweep::Evaluation evaluation({tiny.model, context, tiny.data, tiny.calibration, false, int64_t{4} << 30},
                                 subsets);
    evaluation.prepare();
    const scores::EvalRun measured = evaluation.run(kLogits, {});
    std::map<char, std::vector<double>> corrected, plain;  // by the number of quarters; '*': all
    for (const scores::EvalRecipe& recipe : measured.recipes) {
      const scores::Prediction p = model.predict(recipe.ops);
      ASSERT_TRUE(p.corrected.has_value());
      for (const char key : {recipe.name.front(), '*'}) {
        corrected[key].push_back(std::abs(*p.corrected / recipe.sum(kLogits) - 1));
        plain[key].push_back(std::abs(p.plain_sum / recipe.sum(kLogits) - 1));
      }
    }
    for (const auto& [key, errors] : corrected)
      std::printf("%s, %c quarters: median error corrected %.3f, plain sum %.3f\n", name.c_str(), key,
                  median(errors), median(plain.at(key)));
    EXPECT_TRUE(median(corrected.at('*')) <= 0.2);
  }
}

// Where errors are small enough for second order, pairs say what the sum leaves out: how changes align.
TEST(StatisticsSlow, PairsForetellJointErrors) {
  const TinyRun tiny(testing::kOracleSamples);
  const std::vector<std::string> names{"w8a16", "w4a16_g32"};
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  for (const scores::Metric metric : {testing::kKl, kLogits}) {
    const auto [run, report, sketches] =
        tiny.score({.formats = testing::formats(names), .metric = metric, .sketch = 32});
    std::vector<int64_t> samples(tiny.data.size());
    std::iota(samples.begin(), samples.end(), int64_t{0});
    const scores::Interactions pairs = sketches->interactions(metric.scope, samples, Threads{2});
    for (const std::string& format : names) {
      const auto subsets = random_subsets(quant::find_format(format), tiny.model.ops.size(), 9);
      sweep::Evaluation evaluation(
          {tiny.model, context, tiny.data, tiny.calibration, false, int64_t{4} << 30}, subsets);
      evaluation.prepare();
      const scores::EvalRun measured = evaluation.run(metric, {});
      std::vector<double> with_pairs, plain;
      for (const scores::EvalRecipe& recipe : measured.recipes) {
        std::vector<size_t> chosen;
        for (size_t i = 0; i < run.scores.size(); ++i)
          if (run.scores[i].format == format &&
              recipe.ops.contains(run.ops[static_cast<size_t>(run.scores[i].op)].name))
            chosen.push_back(i);
        double sum = 0;
        for (const size_t i : chosen) sum += run.scores[i].sum(metric);
        plain.push_back(std::abs(sum / recipe.sum(metric) - 1));
        with_pairs.push_back(std::abs(pairs.predicted(run, chosen, metric) / recipe.sum(metric) - 1));
      }
      std::printf("%s, %s: median error with pairs %.3f, plain sum %.3f\n", scores::name(metric).c_str(),
                  format.c_str(), median(with_pairs), median(plain));
      EXPECT_LE(median(with_pairs), 0.1) << format;
      EXPECT_LT(median(with_pairs), median(plain)) << format;
    }
  }
}

// 8 of the 48 samples are drawn; the truth is all 48.
TEST(StatisticsSlow, IntervalsOfExactScoresCover) {
  const TinyRun tiny({});
  sweep::ScoreOptions options{
      .formats = testing::formats({"w8a8_dynamic"}), .ops_glob = "*.layers.[14].*", .metric = kLogits};
  if (full()) {
    options.formats = testing::formats({"w8a8", "w8a8_dynamic", "w4a8", "nvfp4"});
    options.ops_glob = "*";
  }
  const auto run = tiny.score(options).run;
  ASSERT_EQ(run.data.samples, 48);
  constexpr int kDraws = 30;
  constexpr size_t kDrawn = 8;
  int64_t covered = 0, all = 0;
  scores::StudentT95 t;
  for (int draw = 0; draw < kDraws; ++draw) {
    std::vector<size_t> order(48);
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    Rng(17, static_cast<uint64_t>(draw)).shuffle(std::span(order));
    for (const scores::ScoreGroup& group : scores::group_scores(run)) {
      std::vector<const scores::ScoreRecord*> members;
      for (const size_t i : group.members)
        if (run.scores[i].total) members.push_back(&run.scores[i]);
      std::vector<scores::ScoreRecord> drawn(members.size());
      std::vector<scores::IntervalInput> inputs;
      for (size_t i = 0; i < members.size(); ++i) {
        for (size_t s = 0; s < kDrawn; ++s) drawn[i].per_sample.push_back(members[i]->per_sample[order[s]]);
        inputs.push_back({&drawn[i]});
      }
      scores::fill_intervals(inputs, kLogits, t);
      for (size_t i = 0; i < members.size(); ++i) {
        const auto& interval = drawn[i].intervals.of(kLogits);
        ASSERT_TRUE(interval.has_value());
        const double truth = members[i]->per_position(kLogits);
        covered += interval->low <= truth && truth <= interval->high;
        ++all;
      }
    }
  }
  const double share = static_cast<double>(covered) / static_cast<double>(all);
  std::printf("the interval holds the truth in %.1f %% of %ld cases\n", share * 100, static_cast<long>(all));
  EXPECT_TRUE(share >= 0.9 && share <= 0.99);
}

}  // namespace
}  // namespace qsweep
