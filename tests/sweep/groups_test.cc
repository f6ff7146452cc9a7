// Groups of ops that are measured together: against recipes of just these ops, which are measured as parents
// in f32 values, and against everything that moves or interrupts a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/stats.h"
#include "schedule/cpus.h"
#include "scores/eval.h"
#include "sweep/evaluate.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using scores::GroupScore;
using scores::Status;
using sweep::ScoreOptions;
using ::testing::HasSubstr;
using testing::TinyRun;

const std::vector<std::string> kTwoSamples = {"eval-000", "eval-005"};  // one image, none

// Each group of the run as a recipe.
scores::EvalRun as_recipes(const TinyRun& tiny, const scores::Run& run) {
  std::vector<sweep::RecipeFormats> recipes;
  for (const GroupScore& group : run.groups) {
    sweep::RecipeFormats recipe{.name = group.name + " " + group.format, .rules_file = {}, .formats = {}};
    recipe.formats.resize(tiny.model.ops.size());
    for (const int op : group.ops)
      recipe.formats[static_cast<size_t>(op)] = &quant::find_format(group.format);
    recipes.push_back(std::move(recipe));
  }
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  sweep::Evaluation evaluation({.model = tiny.model,
                                .devices = context,
                                .data = tiny.data,
                                .calibration = tiny.calibration,
                                .strict = true,
                                .memory_bytes = int64_t{4} << 30},
                               std::move(recipes));
  evaluation.prepare();
  return evaluation.run({}, {});
}

struct GroupErrors {
  std::vector<double> kl, hidden, logits;
};
GroupErrors errors_of_groups(const TinyRun& tiny, const ScoreOptions& options) {
  const scores::Run run = tiny.score(options).run;
  const scores::EvalRun eval = as_recipes(tiny, run);
  GroupErrors errors;
  for (size_t i = 0; i < run.groups.size(); ++i) {
    EXPECT_EQ(run.groups[i].status, Status::ok);
    EXPECT_NEAR(run.groups[i].total->all.positions, eval.recipes[i].total->all.positions, 0);
    errors.logits.push_back(
        std::abs(run.groups[i].total->all.logits_sse / eval.recipes[i].total->all.logits_sse - 1));
    errors.kl.push_back(std::abs(run.groups[i].total->all.kl / eval.recipes[i].total->all.kl - 1));
    errors.hidden.push_back(
        std::abs(run.groups[i].total->all.hidden_sse / eval.recipes[i].total->all.hidden_sse - 1));
  }
  std::printf("%zu groups: KL median %.2g, worst %.2g; hidden %.2g, %.2g; logits %.2g, %.2g\n",
              errors.kl.size(), median(errors.kl), quantile(errors.kl, 1), median(errors.hidden),
              quantile(errors.hidden, 1), median(errors.logits), quantile(errors.logits, 1));
  return errors;
}

std::vector<std::string> all_kinds() { return {"fused", "block", "role", "visual.*", "*.down_proj", "*"}; }

// Without rounding decisions; the head and the patch embedding are in the last group.
TEST(GroupsSlow, AreTheRecipesOfTheirOps) {
  const TinyRun tiny(kTwoSamples);
  const GroupErrors errors = errors_of_groups(
      tiny, {.formats = testing::formats({"w4a16_g32"}), .groups = all_kinds(), .strict = true});
  EXPECT_GE(errors.kl.size(), 30u);
  EXPECT_TRUE(quantile(errors.kl, 1) <= 3e-4);
  EXPECT_TRUE(quantile(errors.hidden, 1) <= 1e-4);
}

// Where squared errors alone are wanted, they come from the hidden state; but not of a group with the head.
TEST(GroupsSlow, OfSquaredErrorsAlone) {
  const TinyRun tiny(kTwoSamples);
  const GroupErrors errors = errors_of_groups(tiny, {.formats = testing::formats({"w4a16_g32"}),
                                                     .metrics = {testing::kLogits},
                                                     .groups = {"fused", "*"},
                                                     .strict = true,
                                                     .metric = testing::kLogits});
  EXPECT_TRUE(quantile(errors.logits, 1) <= 3e-4);
}

TEST(GroupsSlow, AreCloseToTheRecipesOfTheirOpsWhereActivationsAreQuantized) {
  const TinyRun tiny(kTwoSamples);
  for (const char* format : {"w8a8", "nvfp4", "w8a8_dynamic"})
    for (const bool strict : {true, false}) {
      const GroupErrors errors = errors_of_groups(tiny, {.formats = testing::formats({format}),
                                                         .groups = {"fused", "block", "visual.*"},
                                                         .strict = strict});
      EXPECT_TRUE(median(errors.kl) <= 0.02) << format;
      EXPECT_TRUE(quantile(errors.kl, 1) <= 0.25) << format;
    }
}

TEST(Groups, SingleOpsAreScoredAsWithoutThem) {
  const TinyRun tiny(kTwoSamples);
  ScoreOptions options{
      .formats = testing::formats({"w4a16_g32"}), .ops_glob = "*.1.*", .strict = true, .sketch = 2};
  const auto without = tiny.score(options);
  options.groups = {"fused", "*.1.mlp.*"};
  const auto with = tiny.score(options);
  ASSERT_EQ(with.run.scores.size(), without.run.scores.size());
  for (size_t i = 0; i < with.run.scores.size(); ++i) {
    EXPECT_EQ(with.run.scores[i].status, without.run.scores[i].status);
    EXPECT_EQ(with.run.scores[i].rank, without.run.scores[i].rank);
    if (with.run.scores[i].total) {
      EXPECT_NEAR(with.run.scores[i].total->all.kl / without.run.scores[i].total->all.kl, 1, 1e-4);
    }
  }
}

const GroupScore& group_of(const scores::Run& run, const std::string& name) {
  for (const GroupScore& group : run.groups)
    if (group.name == name) return group;
  throw Error("no group " + name);
}

TEST(Groups, HaveAStatusAsTheirOpsHave) {
  TinyRun tiny({"eval-005"});  // without an image
  const auto groups = [&](ScoreOptions options) {
    options.formats = testing::formats({"w8a8"});
    return sweep::make_outlook(tiny.model, tiny.data, tiny.calibration, options).groups;
  };
  const auto status = [](const std::vector<GroupScore>& all, const std::string& name) {
    for (const GroupScore& group : all)
      if (group.name == name) return group.status;
    throw Error("no group " + name);
  };
  const auto some = groups({.ops_glob = "*.[01].*", .groups = {"fused", "block", "model.layers.[01].mlp.*"}});
  EXPECT_EQ(status(some, "model.layers.1.self_attn.qkv"), Status::ok);
  EXPECT_EQ(status(some, "model.layers.2.self_attn.qkv"), Status::skipped);
  EXPECT_EQ(status(some, "vision block 0"), Status::unexercised);
  EXPECT_EQ(status(some, "language block 0"), Status::ok);
  EXPECT_EQ(status(some, "model.layers.[01].mlp.*"), Status::ok);
  // What no data reaches has no part in a group, and one op is none.
  const auto all = groups({.groups = {"*", "visual.*"}});
  EXPECT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].ops.size(), 43u);
  EXPECT_EQ(status(all, "visual.*"), Status::unexercised);
  tiny.calibration.clear();
  EXPECT_EQ(status(groups({.groups = {"fused"}}), "model.layers.2.self_attn.qkv"), Status::uncalibrated);
}

TEST(Groups, WhatIsNoGroupIsRefused) {
  const TinyRun tiny({"eval-005"});
  const auto refused = [&](ScoreOptions options) -> std::string {
    options.formats = testing::formats({"w8a8"});
    try {
      sweep::make_outlook(tiny.model, tiny.data, tiny.calibration, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refused({.groups = {"layers"}}), HasSubstr("--groups: no op matches \"layers\""));
  EXPECT_THAT(refused({.groups = {"lm_head"}}),
              HasSubstr("a pattern that several ops match, found \"lm_head\""));
  EXPECT_THAT(refused({.ops_glob = "*.q_proj", .groups = {"fused"}}),
              HasSubstr("--groups: expected groups of several ops of which --ops and --max-ops select all"));
  EXPECT_EQ(refused({.groups = {"fused", "fused", "block"}}), "accepted") << "each set of ops once";
}

// Their errors to second order are the products of their sketches with themselves, and sums of changes.
TEST(Groups, HaveSketchesOfTheirOwn) {
  const TinyRun tiny(kTwoSamples);
  const auto found = tiny.score({.formats = testing::formats({"w8a16"}),
                                 .ops_glob = "model.layers.2.*",
                                 .groups = {"fused", "block"},
                                 .strict = true,
                                 .sketch = 64});
  const scores::Run& run = found.run;
  const scores::Interactions products = found.sketches->interactions(scores::Scope::all, Threads{2});
  for (size_t i = 0; i < run.groups.size(); ++i) {
    if (run.groups[i].status != Status::ok) continue;
    const size_t part = part_of_group(run, i);
    const double measured = run.groups[i].sum({});
    EXPECT_NEAR(products.between(part, part) / measured, 1, 0.15) << run.groups[i].name;
    std::vector<size_t> ops;
    for (size_t s = 0; s < run.scores.size(); ++s)
      if (std::ranges::find(run.groups[i].ops, run.scores[s].op) != run.groups[i].ops.end()) ops.push_back(s);
    EXPECT_NEAR(products.predicted(run, ops, {}) / measured, 1, 0.15) << run.groups[i].name;
    double error = 0;
    for (int64_t s = 0; s < found.sketches->samples(); ++s)
      error += scores::Sketches(*found.sketches).error(part, s)[0];
    EXPECT_NEAR(error, measured, 1e-12 * measured);
  }
}

TEST(Groups, AreSharedBetweenDevices) {
  const TinyRun tiny({"eval-011", "eval-026", "eval-005"});
  const ScoreOptions options{.formats = testing::formats({"w4a16_g32"}),
                             .ops_glob = "*.[12].*",
                             .groups = {"fused", "block"},
                             .strict = true};
  const scores::Run expected = tiny.score_on(*testing::Cpus(1), options).run;
  const testing::Cpus cpus(2);
  const scores::Run found = tiny.score_on(*cpus, options).run;
  ASSERT_EQ(found.groups.size(), expected.groups.size());
  for (size_t i = 0; i < found.groups.size(); ++i)
    if (expected.groups[i].total) {
      EXPECT_NEAR(found.groups[i].sum({}) / expected.groups[i].sum({}), 1, 1e-4);
    }
  EXPECT_EQ(testing::scores_text(found), testing::scores_text(tiny.score_on(*cpus, options).run));
}

TEST(Groups, TakeNoPartInVerification) {
  const TinyRun tiny({"eval-005"});
  const scores::Run run = tiny.score({.formats = testing::formats({"w4a16_g32"}),
                                      .ops_glob = "model.layers.1.mlp.*",
                                      .groups = {"fused"},
                                      .verify = 8})
                              .run;
  EXPECT_EQ(run.verification.size(), 3u);
  for (const scores::VerifiedScore& v : run.verification) EXPECT_NEAR(v.deviation(), 0, 0.02);
  EXPECT_GT(group_of(run, "model.layers.1.mlp.gate_up").sum({}), 0);
}

// Groups have numbers of their own: a score without a leaf has none where the group of its number has one.
TEST(Groups, TakeNoPartAmongLeavesOfScores) {
  const TinyRun tiny({"eval-005"});
  const sweep::Outlook outlook = sweep::make_outlook(
      tiny.model, tiny.data, tiny.calibration,
      {.formats = testing::formats({"w4a16_g32"}), .ops_glob = "model.layers.1.mlp.*", .groups = {"fused"}});
  const auto measured = std::ranges::find(outlook.groups, Status::ok, &GroupScore::status);
  ASSERT_NE(measured, outlook.groups.end());
  const auto number = static_cast<size_t>(measured - outlook.groups.begin());
  ASSERT_NE(outlook.records[number].status, Status::ok);
  EXPECT_TRUE(select_leaves(outlook, std::vector<size_t>{number}).empty());
}

}  // namespace
}  // namespace qsweep
