#include "compare/agreement.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "compare/other.h"
#include "trained.h"

namespace qsweep::compare {
namespace {

using scores::Mode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

void expect_near(double found, double expected) {
  EXPECT_TRUE(std::fabs(found - expected) <= 5e-7) << found << " for " << expected;
}

// Ops a, b, ... of tower "language", those in `fused` in one group "model.x.qkv".
std::vector<scores::OpRecord> make_ops(const std::vector<std::string>& names,
                                       const std::vector<std::string>& fused = {}) {
  std::vector<scores::OpRecord> ops;
  for (const std::string& name : names) {
    scores::OpRecord op;
    op.name = name;
    op.tower = "language";
    if (std::find(fused.begin(), fused.end(), name) != fused.end()) op.fusion_group = "model.x.qkv";
    ops.push_back(op);
  }
  return ops;
}

Ranking ranking(const std::vector<std::pair<std::string, double>>& scores) {
  Ranking ranking;
  ranking.source = "file";
  for (const auto& [op, score] : scores) ranking.entries.push_back({op, {op}, score});
  return ranking;
}

std::string message(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

// Ranks 1, 2, 3, 4 against 2, 1, 4, 3: sum of squared differences 4, so rho = 1 - 6 * 4 / (4 * 15); 4 pairs
// agree and 2 do not.
TEST(Agreement, CorrelationsByHand) {
  const auto ops = make_ops({"a", "b", "c", "d"});
  const Agreement a = compare(ops, ranking({{"a", 4}, {"b", 3}, {"c", 2}, {"d", 1}}),
                              ranking({{"d", 2}, {"c", 1}, {"b", 40}, {"a", 30}}));
  EXPECT_EQ(a.all.units, 4);
  expect_near(a.all.spearman, 0.6);
  expect_near(a.all.kendall, 1.0 / 3);
  EXPECT_FALSE(a.distinguished.has_value());
  EXPECT_THAT(a.indistinct, IsEmpty());
  ASSERT_EQ(a.units.size(), 4u);
  EXPECT_EQ(a.units[3].name, "d");
  EXPECT_EQ(a.units[3].run_rank, 4);
  EXPECT_EQ(a.units[3].other_rank, 3);
  ASSERT_EQ(a.all.top.size(), 1u);
  EXPECT_EQ(a.all.top[0].percent, 10);
  EXPECT_EQ(a.all.top[0].overlap, 0) << "a against b";
}

TEST(Agreement, TheDirectionOfEachSideCounts) {
  const auto ops = make_ops({"a", "b", "c"});
  Ranking run = ranking({{"a", 3}, {"b", 2}, {"c", 1}}), other = ranking({{"a", 1}, {"b", 2}, {"c", 3}});
  EXPECT_EQ(compare(ops, run, other).all.spearman, -1);
  other.smallest_first = true;
  EXPECT_EQ(compare(ops, run, other).all.spearman, 1);
  EXPECT_EQ(compare(ops, run, other).units[0].other_rank, 1);
  run.smallest_first = true;
  EXPECT_EQ(compare(ops, run, other).all.kendall, -1);
}

// Against 1, 2, 3, 4: other's scores 5, 5, 7, 8 have one tie. Kendall tau-b = 5 / sqrt(6 * 5).
TEST(Agreement, TiesAreSaidAndLeftOutOfTheSecondStatistics) {
  const auto ops = make_ops({"a", "b", "c", "d"});
  const Agreement a = compare(ops, ranking({{"a", 1}, {"b", 2}, {"c", 3}, {"d", 4}}),
                              ranking({{"a", 5}, {"b", 5}, {"c", 7}, {"d", 8}}));
  expect_near(a.all.kendall, 5 / std::sqrt(30));
  ASSERT_TRUE(a.distinguished.has_value());
  EXPECT_EQ(a.distinguished->units, 2);
  EXPECT_EQ(a.distinguished->kendall, 1);
  ASSERT_EQ(a.indistinct.size(), 1u);
  EXPECT_FALSE(a.indistinct[0].of_run);
  EXPECT_EQ(a.indistinct[0].score, 5);
  EXPECT_EQ(a.indistinct[0].units, 2);
  EXPECT_EQ(a.indistinct[0].of, 4);
  EXPECT_EQ(a.units[0].other_rank, 3.5);
}

// Seven ops; the run's first five are a to e. Of other's, f, g, a, b and c share the edge: three of them are
// drawn.
TEST(Agreement, EqualScoresAtTheEdgeCountByTheirChance) {
  const std::vector<std::string> names{"a", "b", "c", "d", "e", "f", "g"};
  const auto ops = make_ops(names);
  const Agreement a =
      compare(ops, ranking({{"a", 7}, {"b", 6}, {"c", 5}, {"d", 4}, {"e", 3}, {"f", 2}, {"g", 1}}),
              ranking({{"a", 1}, {"b", 1}, {"c", 1}, {"d", 9}, {"e", 8}, {"f", 1}, {"g", 1}}));
  ASSERT_EQ(a.all.top.size(), 2u);
  EXPECT_EQ(a.all.top[0].k, 5);
  EXPECT_DOUBLE_EQ(a.all.top[0].overlap, 2 + 3 * 3.0 / 5);
}

TEST(Agreement, TiesAreSaidWhereTheRunHasNoScoreToo) {
  const auto ops = make_ops({"a", "b", "c", "d"});
  Ranking run = ranking({{"a", 1}, {"b", 2}});
  run.unscored = {{"c", "unexercised"}, {"d", "unexercised"}};
  const Agreement a = compare(ops, run, ranking({{"a", 1}, {"b", 2}, {"c", 0}, {"d", 0}}));
  ASSERT_EQ(a.indistinct.size(), 1u);
  EXPECT_EQ(a.indistinct[0].units, 2);
  EXPECT_EQ(a.indistinct[0].of, 4);
  EXPECT_FALSE(a.distinguished.has_value()) << "all that is compared is told apart";
}

TEST(Agreement, OutliersAreTheLargestDifferencesOfRanks) {
  std::vector<std::string> names;
  std::vector<std::pair<std::string, double>> ours, theirs;
  for (int i = 0; i < 14; ++i) {
    names.push_back(std::string(1, static_cast<char>('a' + i)));
    ours.emplace_back(names.back(), 14 - i);
    theirs.emplace_back(names.back(), i == 13 ? 100 : 14 - i);
  }
  const Agreement a = compare(make_ops(names), ranking(ours), ranking(theirs));
  ASSERT_EQ(a.outliers.size(), 10u);
  EXPECT_EQ(a.units[a.outliers[0]].name, "n");
  EXPECT_EQ(a.units[a.outliers[1]].name, "a") << "equal differences in op order";
}

TEST(Agreement, GroupsAreSummed) {
  const auto ops = make_ops({"model.x.q_proj", "model.x.k_proj", "model.x.v_proj", "o"},
                            {"model.x.q_proj", "model.x.k_proj", "model.x.v_proj"});
  const Ranking run =
      ranking({{"model.x.q_proj", 1}, {"model.x.k_proj", 2}, {"model.x.v_proj", 4}, {"o", 5}});
  Ranking listed = ranking({{"o", 1}});
  listed.entries.push_back({"model.x.q_proj", {"model.x.q_proj", "model.x.k_proj", "model.x.v_proj"}, 2});
  Ranking first_members = ranking({{"model.x.q_proj", 2}, {"o", 1}});
  first_members.names_first_members = true;
  for (const Ranking& other : {listed, first_members, ranking({{"model.x.qkv", 2}, {"o", 1}}),
                               ranking({{"model.x.qkv_proj", 2}, {"o", 1}})}) {
    const Agreement a = compare(ops, run, other);
    ASSERT_EQ(a.units.size(), 2u) << other.entries[0].name;
    EXPECT_EQ(a.units[0].run_score, 7);
    EXPECT_EQ(a.units[0].members.size(), 3u);
    EXPECT_EQ(a.all.spearman, 1);
    EXPECT_THAT(a.only_in_run, IsEmpty());
  }
  const Agreement single = compare(ops, run, ranking({{"model.x.q_proj", 2}, {"o", 1}}));
  EXPECT_EQ(single.units[0].run_score, 1);
  EXPECT_THAT(single.only_in_run, ElementsAre("model.x.k_proj", "model.x.v_proj"));
}

TEST(Agreement, ARowThatNamesAnotherMemberStandsForItselfOnly) {
  const auto ops = make_ops({"q", "k"}, {"q", "k"});
  Ranking other = ranking({{"q", 1}, {"k", 2}});
  other.names_first_members = true;
  EXPECT_EQ(compare(ops, ranking({{"q", 1}, {"k", 2}}), other).units.size(), 2u);
}

TEST(Agreement, WhatIsOnOneSideOnly) {
  const auto ops = make_ops({"a", "b", "c", "d", "e"});
  Ranking run = ranking({{"a", 1}, {"b", 2}, {"e", 3}});
  run.unscored = {{"c", "unexercised"}, {"d", "skipped"}};
  Ranking other = ranking({{"a", 1}, {"c", 2}, {"model.embed_tokens", 3}});
  other.unscored = {{"e", "not in this format"}};
  const Agreement a = compare(ops, run, other);
  EXPECT_EQ(a.units.size(), 1u);
  EXPECT_THAT(a.only_in_run, ElementsAre("b"));
  EXPECT_THAT(a.only_in_other, ElementsAre("model.embed_tokens"));
  ASSERT_EQ(a.unscored_in_run.size(), 1u);
  EXPECT_EQ(a.unscored_in_run[0].name, "c");
  EXPECT_EQ(a.unscored_in_run[0].why, "unexercised");
  ASSERT_EQ(a.unscored_in_other.size(), 1u);
  EXPECT_EQ(a.unscored_in_other[0].name, "e");
  EXPECT_TRUE(std::isnan(a.all.spearman)) << "one op has no order";
  EXPECT_TRUE(to_json(a)["all"]["spearman"].is_null());
}

TEST(Agreement, RefusesWhatCannotBeCompared) {
  const auto ops = make_ops({"a", "b"}, {"a", "b"});
  const Ranking run = ranking({{"a", 1}, {"b", 2}});
  EXPECT_THAT(message([&] {
                compare(ops, run, ranking({{"z", 1}}));
              }),
              HasSubstr("file: expected scores of ops that file scored too (such as a), found none (but z)"));
  EXPECT_THAT(message([&] {
                compare(ops, run, ranking({{"a", 1}, {"a", 2}}));
              }),
              HasSubstr("expected one score for each op, found two of a"));
  EXPECT_THAT(message([&] {
                compare(ops, ranking({{"a", 1}, {"a", 2}}), run);
              }),
              HasSubstr("found two of a"));
  Ranking remaining = run, group = ranking({});
  remaining.smallest_first = true;
  group.entries.push_back({"ab", {"a", "b"}, 1});
  EXPECT_THAT(message([&] { compare(ops, remaining, group); }), HasSubstr("group ab cannot be added"));
}

// The correlations below were computed by another program from the same files.

TEST(Peers, ModelOptGradientOfTextOnly) {
  const auto run = trained_run("isolated-int8.json", Mode::isolated);
  const auto group = choose_group(run, "RUN", {});
  const std::string file = testdata("peers/modelopt/trained_text_gradient_int8.json");
  const Agreement a = compare(run.ops, ranking_of(run, group, "RUN", {}), read_other(file, {}, group));
  EXPECT_EQ(a.other.what, "ModelOpt gradient, INT8_DEFAULT_CFG(effective-bits: 8.0)");
  EXPECT_EQ(a.all.units, 52) << "76 ops in 52 groups";
  expect_near(a.all.spearman, 0.868991);
  expect_near(a.all.kendall, 0.753714);
  ASSERT_EQ(a.all.top.size(), 4u);
  EXPECT_EQ(a.all.top[0].overlap, 5);
  EXPECT_EQ(a.all.top[1].overlap, 9);
  EXPECT_EQ(a.all.top[2].overlap, 18);
  ASSERT_EQ(a.indistinct.size(), 2u);
  EXPECT_EQ(a.indistinct[0].tower, "vision");
  EXPECT_EQ(a.indistinct[0].score, 0);
  EXPECT_EQ(a.indistinct[0].units, 25);
  EXPECT_EQ(a.indistinct[0].of, 25);
  EXPECT_EQ(a.indistinct[1].tower, "projector");
  ASSERT_TRUE(a.distinguished.has_value());
  EXPECT_EQ(a.distinguished->units, 25);
  expect_near(a.distinguished->spearman, 0.945385);
  expect_near(a.distinguished->kendall, 0.826667);
  EXPECT_EQ(a.distinguished->top[2].overlap, 19);
  EXPECT_EQ(a.units[a.outliers[0]].name, "visual.merger.mlp.0");
  EXPECT_EQ(a.units[a.outliers[0]].run_rank, 17);
  EXPECT_EQ(a.units[a.outliers[0]].other_rank, 39);
  EXPECT_THAT(a.only_in_run, IsEmpty());
  EXPECT_THAT(a.only_in_other, IsEmpty());
}

TEST(Peers, NeuralCompressorFallback) {
  const auto run = trained_run("fallback-int8.json", Mode::leave_one_out);
  const auto group = choose_group(run, "RUN", {});
  const scores::Metric logits{scores::Which::logits_sse, scores::Scope::all};
  const Ranking other = read_other(testdata("peers/inc_trained_text.json"), {}, group);
  EXPECT_TRUE(other.smallest_first);
  const Agreement a = compare(run.ops, ranking_of(run, group, "RUN", logits), other);
  EXPECT_EQ(a.all.units, 76);
  expect_near(a.all.spearman, -0.231546);
  expect_near(a.all.kendall, -0.170263);
  EXPECT_THAT(a.only_in_other, ElementsAre("model.embed_tokens"));
  ASSERT_TRUE(a.distinguished.has_value());
  EXPECT_EQ(a.distinguished->units, 43);
  expect_near(a.distinguished->spearman, -0.301873);
  EXPECT_EQ(a.indistinct[0].units, 31);
}

TEST(Peers, NeuralCompressorRequantOnDemand) {
  const auto run = trained_run("isolated-int8.json", Mode::isolated);
  const auto group = choose_group(run, "RUN", {});
  const scores::Metric logits{scores::Which::logits_sse, scores::Scope::all};
  Choice choice;
  choice.mode = Mode::requantize;
  const Ranking other = read_other(testdata("peers/inc_trained_text.json"), choice, group);
  EXPECT_FALSE(other.smallest_first);
  const Agreement a = compare(run.ops, ranking_of(run, group, "RUN", logits), other);
  expect_near(a.all.spearman, 0.679629);
  expect_near(a.all.kendall, 0.460255);
}

}  // namespace
}  // namespace qsweep::compare
