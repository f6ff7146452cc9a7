// A proxy's scores on another model's ops, in small numbers.
#include "compare/transfer.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "scores/finalize.h"
#include "scores/synthetic.h"

namespace qsweep::compare {
namespace {

using scores::OpRecord;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

OpRecord op(const std::string& tower, std::optional<int64_t> block, const std::string& role) {
  OpRecord record;
  record.name = tower + "." + (block ? std::to_string(*block) : "-") + "." + role;
  record.tower = tower;
  record.block = block;
  record.role = role;
  return record;
}

// A finalized run whose i-th op has the KL of the i-th number in each of three samples.
scores::Run run_of(const std::vector<std::pair<OpRecord, double>>& scores) {
  scores::Run run = scores::make_run();
  run.ops.clear();
  run.scores.clear();
  run.baselines.clear();
  for (const auto& [record, kl] : scores) {
    run.scores.push_back(scores::make_score(static_cast<int>(run.ops.size()), {kl, kl, kl}));
    run.ops.push_back(record);
  }
  finalize(run, {}, 1);
  return run;
}

std::vector<double> kl_of(const scores::Run& run) {
  std::vector<double> kl;
  for (const scores::ScoreRecord& score : run.scores) kl.push_back(score.sum({}));
  return kl;
}

// Two blocks onto four: their middles lie at 1/4 and 3/4, those of the four at 1/8, 3/8, 5/8 and 7/8.
TEST(Transfer, BetweenTwoBlocksItIsLinearInDepthAndBeyondThemConstant) {
  const scores::Run proxy = run_of({{op("language", 0, "o_proj"), 2}, {op("language", 1, "o_proj"), 6}});
  const scores::Run run = transfer(proxy,
                                   {op("language", 0, "o_proj"), op("language", 1, "o_proj"),
                                    op("language", 2, "o_proj"), op("language", 3, "o_proj")},
                                   {});
  EXPECT_THAT(kl_of(run), ElementsAre(6, 9, 15, 18));
  for (const scores::ScoreRecord& score : run.scores) {
    EXPECT_EQ(score.method, scores::Method::transfer);
    EXPECT_TRUE(score.has_flag("approximate"));
    EXPECT_EQ(score.total->all.positions, 30) << "the data is the proxy's";
    EXPECT_FALSE(score.intervals.of({}).has_value());
  }
  EXPECT_EQ(run.scores[3].rank, 1);
}

TEST(Transfer, RolesThatDoTheSameStandForOneAnother) {
  const scores::Run proxy =
      run_of({{op("vision", 0, "fc1"), 1}, {op("vision", 0, "fc2"), 5}, {op("vision", {}, "proj"), 7}});
  const scores::Run run =
      transfer(proxy,
               {op("vision", 0, "gate_proj"), op("vision", 0, "up_proj"), op("vision", 0, "down_proj"),
                op("vision", {}, "proj"), op("vision", 0, "proj"), op("language", 0, "down_proj")},
               {});
  EXPECT_THAT(kl_of({.scores = {run.scores.begin(), run.scores.begin() + 4}}), ElementsAre(3, 3, 15, 21));
  EXPECT_EQ(run.scores[4].status, scores::Status::skipped) << "an attention's output is no patch embedding";
  EXPECT_EQ(run.scores[5].status, scores::Status::skipped) << "another tower";
}

TEST(Transfer, OneRoleForSeveralIsTheirMean) {
  const scores::Run proxy = run_of(
      {{op("vision", 0, "q_proj"), 1}, {op("vision", 0, "k_proj"), 2}, {op("vision", 0, "v_proj"), 6}});
  EXPECT_THAT(kl_of(transfer(proxy, {op("vision", 0, "qkv")}, {})), ElementsAre(9));
  EXPECT_THAT(kl_of(transfer(proxy, {op("vision", 0, "v_proj")}, {})), ElementsAre(18))
      << "its own name first";
}

TEST(Transfer, CheckSaysWhatTheProxyForetold) {
  std::vector<std::pair<OpRecord, double>> guess, truth;
  for (int64_t i = 0; i < 20; ++i) {
    const OpRecord record = op(i < 10 ? "vision" : "language", i % 10, "o_proj");
    guess.emplace_back(record, i == 4 ? 30 : static_cast<double>(i + 1));
    truth.emplace_back(record, i == 7 ? 60 : static_cast<double>(i + 1));
  }
  const scores::Run own = run_of(truth);
  const scores::Run foretold = transfer(run_of(guess), own.ops, {});
  const std::vector<Check> checks = check_transfer(foretold, own);
  ASSERT_EQ(checks.size(), 1u);
  const Check& check = checks[0];
  EXPECT_EQ(check.k, 2);  // 4 and 19 are foretold, 7 and 19 are right
  EXPECT_EQ(check.overlap, 1);
  const double error = 210 - 8 + 60;
  EXPECT_TRUE(std::fabs(check.protected_error - (5 + 20) / error) <= 1e-12) << check.protected_error;
  EXPECT_TRUE(std::fabs(check.own_protected_error - (60 + 20) / error) <= 1e-12);
  ASSERT_EQ(check.groups.size(), 5u);  // all, and two towers with one role each
  EXPECT_EQ(check.groups[0].tower, "");
  EXPECT_EQ(check.groups[0].ops, 20);
  EXPECT_TRUE(check.groups[0].share == 1 && check.groups[0].foretold_share == 1);
  const Foretold &vision = check.groups[1], &language = check.groups[3];
  EXPECT_EQ(vision.tower, "vision");
  EXPECT_EQ(vision.ops, 10);
  EXPECT_TRUE(std::fabs(vision.share - (55 - 8 + 60) / error) <= 1e-12);
  EXPECT_TRUE(std::fabs(vision.foretold_share - (55 - 5 + 30) / (210 - 5 + 30.0)) <= 1e-12);
  EXPECT_EQ(language.tower, "language");
  EXPECT_TRUE(language.spearman == 1);
  EXPECT_TRUE(vision.spearman < 1);
  EXPECT_TRUE(check.groups[0].spearman < 1 && check.groups[0].spearman > 0);
}

TEST(Transfer, TwoOpsHaveNoRankCorrelation) {
  const auto groups_of = [](int64_t n) {
    std::vector<std::pair<scores::OpRecord, double>> ops;
    for (int64_t i = 0; i < n; ++i) ops.emplace_back(op("language", i, "o_proj"), static_cast<double>(i + 1));
    const scores::Run run = run_of(ops);
    return check_transfer(transfer(run, run.ops, {}), run)[0].groups;
  };
  EXPECT_TRUE(std::isnan(groups_of(2)[0].spearman));
  EXPECT_TRUE(groups_of(3)[0].spearman == 1);
}

TEST(Transfer, RunsWithoutACommonRankingAreRefused) {
  const scores::Run proxy = run_of({{op("language", 0, "o_proj"), 2}});
  const scores::Run other = run_of({{op("vision", 0, "o_proj"), 2}});
  EXPECT_THROW(check_transfer(transfer(proxy, proxy.ops, {}), other), Error);
  scores::Run local = proxy;
  for (scores::ScoreRecord& score : local.scores) score.method = scores::Method::local;
  EXPECT_THROW(transfer(local, proxy.ops, {}), Error);
}

}  // namespace
}  // namespace qsweep::compare
