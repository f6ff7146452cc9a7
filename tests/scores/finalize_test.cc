#include "scores/finalize.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "scores/schema.h"
#include "scores/synthetic.h"

namespace qsweep::scores {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void expect_near(double found, double expected) {
  EXPECT_TRUE(std::fabs(found - expected) <= 1e-9 * std::fabs(expected)) << found << " for " << expected;
}

TEST(Finalize, RanksTheLargestFirstAndTiesInOpOrder) {
  auto run = make_run();
  std::swap(run.scores[1], run.scores[2]);  // records need not come in op order
  finalize(run, kKl, 1);
  EXPECT_EQ(run.scores[0].total->all.kl, 6);
  EXPECT_EQ(run.scores[0].total->answer.kl, 3);
  EXPECT_EQ(run.scores[1].op, 2);
  EXPECT_EQ(ranks(run), (std::vector<int64_t>{3, 2, 1, 4}));
}

TEST(Finalize, LeaveOneOutRanksTheSmallestRemainingErrorFirst) {
  auto run = make_run();
  for (ScoreRecord& score : run.scores) score.mode = Mode::leave_one_out;
  finalize(run, kKl, 1);
  EXPECT_EQ(ranks(run), (std::vector<int64_t>{2, 3, 4, 1}));
}

TEST(Finalize, RanksEveryFormatModeAndMethodByItself) {
  auto run = make_run();
  run.scores[1].format = "nvfp4";
  run.scores[2].mode = Mode::requantize;
  run.scores[3].method = Method::adjoint;
  finalize(run, kKl, 1);
  EXPECT_EQ(ranks(run), (std::vector<int64_t>{1, 1, 1, 1}));
  EXPECT_EQ(run.scores[3].flags, std::vector<std::string>{"approximate"});
  EXPECT_TRUE(run.scores[0].flags.empty());
}

TEST(Finalize, RanksByTheMetricAsked) {
  auto run = make_run();
  run.scores[3].per_sample[0].answer.logits_sse = 1000;
  finalize(run, parse_metric("logits_sse:answer"), 1);
  EXPECT_EQ(run.scores[3].rank, 1);
  EXPECT_EQ(run.settings["metric"], "logits_sse:answer");
}

// kl 1, 2, 3 over 10 positions each: m = 0.2, residuals -1, 0, 1, se^2 = 3/2 * 2 / 900, relative error
// sqrt(3)/6.
TEST(Intervals, LogarithmicByHand) {
  auto run = make_run();
  run.scores.resize(1);
  finalize(run, kKl, 1);
  const auto& kl = run.scores[0].intervals.of(kKl);
  ASSERT_TRUE(kl.has_value());
  const double factor = std::exp(kT2 * std::sqrt(3.0) / 6);
  expect_near(kl->low, 0.2 / factor);
  expect_near(kl->high, 0.2 * factor);
}

// Relative errors: {1,2,3} sqrt(3)/6, {3,4,5} sqrt(3)/12, {2,4,6} sqrt(3)/6, {1,1,1} 0; mean of squares 3/4 *
// 1/16.
TEST(Intervals, NoOpClaimsLessThanTheRootMeanSquareOverOps) {
  auto run = make_run();
  finalize(run, kKl, 1);
  const double typical = std::sqrt((1.0 / 12 + 1.0 / 48 + 1.0 / 12 + 0) / 4);
  const double own = std::sqrt(3.0) / 6;
  expect_near(run.scores[3].intervals.of(kKl)->high, 0.1 * std::exp(kT2 * typical));
  expect_near(run.scores[1].intervals.of(kKl)->high, 0.4 * std::exp(kT2 * typical));
  expect_near(run.scores[2].intervals.of(kKl)->high, 0.4 * std::exp(kT2 * own));
  expect_near(run.baselines[0].intervals.of(kKl)->low, 2 / std::exp(kT2 * own));
}

// Unequal lengths: e = 1, 5 over n = 10, 30: m = 0.15, residuals -0.5, 0.5, se^2 = 2 * 0.5 / 1600.
TEST(Intervals, SamplesOfUnequalLength) {
  auto run = make_run();
  run.data.samples = 2;
  run.baselines.clear();
  run.scores.resize(1);
  run.scores[0].per_sample = {sample_sums(1, 10), sample_sums(5, 30)};
  finalize(run, kKl, 1);
  expect_near(run.scores[0].intervals.of(kKl)->high, 0.15 * std::exp(12.706204736432095 * (1.0 / 40) / 0.15));
}

// nll_delta 1/8, 2/8, 3/8 over 9 targets each: m = 0.75/27, residuals -+1/8, se^2 = 3/2 * 2/64 / 27^2.
TEST(Intervals, NllDeltaIsPlainT) {
  auto run = make_run();
  finalize(run, kKl, 1);
  const auto& nll = run.scores[0].intervals.of({Which::nll_delta, Scope::all});
  ASSERT_TRUE(nll.has_value());
  const double half_width = kT2 * std::sqrt(3.0 / 64) / 27;
  expect_near(nll->low, 0.75 / 27 - half_width);
  expect_near(nll->high, 0.75 / 27 + half_width);
  EXPECT_FALSE(run.scores[0].intervals.of({Which::top1_flips, Scope::all}).has_value());
}

TEST(Intervals, ZeroMeansAndSingleSamplesHaveNone) {
  auto run = make_run();
  for (ScopedSums& sample : run.scores[0].per_sample) sample.all.hidden_sse = sample.answer.hidden_sse = 0;
  finalize(run, kKl, 1);
  EXPECT_FALSE(run.scores[0].intervals.of({Which::hidden_sse, Scope::all}).has_value());
  EXPECT_TRUE(run.scores[0].intervals.of(kKl).has_value());

  run = make_run();
  run.data.samples = 1;
  for (ScoreRecord& score : run.scores) score.per_sample.resize(1);
  run.baselines[0].per_sample.resize(1);
  finalize(run, kKl, 1);
  for (Which which : kAllWhich) EXPECT_FALSE(run.scores[0].intervals.of({which, Scope::all}).has_value());
  EXPECT_TRUE(run.reliability.empty());
  EXPECT_EQ(run.scores[0].rank, 3);
}

TEST(Finalize, ASampleWithoutRowsOfTheOpCounts) {
  auto run = make_run();
  run.scores.resize(1);
  run.scores[0].per_sample = {sample_sums(3, 10), sample_sums(0, 10), sample_sums(3, 10)};
  finalize(run, kKl, 1);
  // m = 0.2, residuals 1, -2, 1: se^2 = 3/2 * 6 / 900.
  expect_near(run.scores[0].intervals.of(kKl)->high, 0.2 * std::exp(kT2 * 0.5));
}

TEST(Finalize, ANonFiniteSumTakesAllMetricsAway) {
  for (double bad : {kInfinity, std::nan("")}) {
    auto run = make_run();
    run.scores[1].per_sample[2].answer.nll_delta = bad;
    run.baselines[0].per_sample[0].all.kl = bad;
    finalize(run, kKl, 1);
    EXPECT_EQ(run.scores[1].status, Status::non_finite);
    EXPECT_FALSE(run.scores[1].total || run.scores[1].rank || run.scores[1].local ||
                 run.scores[1].intervals.of(kKl));
    EXPECT_FALSE(run.baselines[0].total.has_value());
    EXPECT_EQ(ranks(run), (std::vector<int64_t>{2, -1, 1, 3}));
  }
}

TEST(Finalize, NonFiniteLocalStatisticsAreDroppedAndFlagged) {
  auto run = make_run();
  run.scores[0].local->input_max = kInfinity;
  run.scores[1].local = LocalStats{};
  finalize(run, kKl, 1);
  EXPECT_FALSE(run.scores[0].local.has_value());
  EXPECT_EQ(run.scores[0].flags, std::vector<std::string>{"local_non_finite"});
  EXPECT_FALSE(run.scores[1].local.has_value()) << "no rows, no statistics";
  EXPECT_TRUE(run.scores[1].flags.empty());
  EXPECT_EQ(run.scores[0].status, Status::ok);
}

TEST(Finalize, UnexercisedOpsHaveNoNumbers) {
  auto run = make_run();
  run.scores[0].status = Status::unexercised;  // even where the engine left sums behind
  finalize(run, kKl, 1);
  EXPECT_FALSE(run.scores[0].total || run.scores[0].rank || run.scores[0].local);
  EXPECT_EQ(ranks(run), (std::vector<int64_t>{-1, 1, 2, 3}));
}

TEST(Finalize, SpreadScoresCopyTheRepresentative) {
  auto run = make_run();
  run.scores[0].status = Status::spread;
  run.scores[0].per_sample.clear();
  run.scores[0].spread_from = run.ops[3].name;
  finalize(run, kKl, 1);
  EXPECT_EQ(run.scores[0].total->all.kl, 3);
  EXPECT_EQ(run.scores[0].intervals.of(kKl)->high, run.scores[3].intervals.of(kKl)->high);
  EXPECT_FALSE(run.scores[0].local.has_value());
  EXPECT_EQ(ranks(run), (std::vector<int64_t>{3, 1, 2, 4}));

  run.scores[3].status = Status::unexercised;
  finalize(run, kKl, 1);
  EXPECT_EQ(run.scores[0].status, Status::unexercised);
  EXPECT_FALSE(run.scores[0].total.has_value() || run.scores[0].spread_from.has_value());
}

// In a ranking over methods the representative may have been measured in the end.
TEST(Finalize, SpreadScoresCopyHowTheRepresentativeWasMade) {
  auto run = make_run();
  run.joint_ranking = true;
  run.scores[0].status = Status::spread;
  run.scores[0].spread_from = run.ops[3].name;
  run.scores[0].method = Method::adjoint;
  run.scores[0].flags = {"nonlinear"};
  run.scores[3].local->error_sse = NAN;
  finalize(run, kKl, 1);
  EXPECT_EQ(run.scores[0].method, Method::exact);
  EXPECT_THAT(run.scores[0].flags, ::testing::IsEmpty());
  EXPECT_THAT(run.scores[3].flags, ::testing::ElementsAre("local_non_finite")) << "not the copy's own";

  run.scores[3].method = Method::adjoint;
  run.scores[3].flags = {"nonlinear"};
  run.scores[3].estimates = {{"coherence", 2}};
  finalize(run, kKl, 1);
  EXPECT_EQ(run.scores[0].method, Method::adjoint);
  EXPECT_THAT(run.scores[0].flags, ::testing::ElementsAre("nonlinear", "approximate"));
  EXPECT_EQ(run.scores[0].estimate("coherence"), 2);
}

// Of a format that sends many rows to other experts once all ops have it.
TEST(Finalize, EstimatesThatMissFlipsAreFlagged) {
  auto run = make_run();
  run.baselines.front().flipped_rows = 0.02;
  run.scores[3].method = Method::adjoint;
  finalize(run, kKl, 1);
  EXPECT_THAT(run.scores[0].flags, ::testing::IsEmpty()) << "measured";
  EXPECT_THAT(run.scores[3].flags, ::testing::ElementsAre("approximate", "flips"));
  run.scores[3].flags = {};
  run.baselines.front().flipped_rows = 0.005;
  finalize(run, kKl, 1);
  EXPECT_THAT(run.scores[3].flags, ::testing::ElementsAre("approximate"));
}

TEST(Finalize, MissingSamplesBreakTheContract) {
  auto run = make_run();
  run.scores[2].per_sample.pop_back();
  EXPECT_THROW(finalize(run, kKl, 1), ContractError);
  run = make_run();
  run.scores[2].op = 4;
  EXPECT_THROW(finalize(run, kKl, 1), ContractError);
  run = make_run();
  run.scores[2].status = Status::spread;
  run.scores[2].spread_from = "nothing";
  EXPECT_THROW(finalize(run, kKl, 1), ContractError);
}

TEST(Reliability, OneForAnOrderThatAllSamplesShare) {
  auto run = make_run();
  run.scores = {make_score(0, {1, 2, 3}), make_score(1, {4, 5, 6}), make_score(2, {7, 8, 9})};
  finalize(run, kKl, 1);
  ASSERT_EQ(run.reliability.size(), 1u);
  EXPECT_EQ(run.reliability[0].spearman, 1);
  EXPECT_EQ(run.reliability[0].splits, kReliabilitySplits);
  EXPECT_EQ(run.reliability[0].format, "w8a8");
}

// With two samples the halves are the samples: ranks 1, 2, 3 against 3, 2, 1.
TEST(Reliability, MinusOneForAnOrderThatTurnsAround) {
  auto run = make_run();
  run.data.samples = 2;
  run.baselines.clear();
  run.scores = {make_score(0, {1, 3}), make_score(1, {2, 2}), make_score(2, {3, 1})};
  finalize(run, kKl, 1);
  ASSERT_EQ(run.reliability.size(), 1u);
  EXPECT_EQ(run.reliability[0].spearman, -1);
}

TEST(Reliability, DependsOnTheSeedOnly) {
  const auto reliability = [](uint64_t seed) {
    auto run = make_run();
    run.scores = {make_score(0, {9, 1, 5}), make_score(1, {3, 4, 5}), make_score(2, {2, 4, 6}),
                  make_score(3, {1, 7, 1})};
    finalize(run, kKl, seed);
    return run.reliability.at(0).spearman;
  };
  EXPECT_EQ(reliability(7), reliability(7));
  EXPECT_NE(reliability(7), reliability(8));
}

TEST(Reliability, NeedsThreeMeasuredOps) {
  auto run = make_run();
  run.scores[0].status = Status::skipped;
  finalize(run, kKl, 1);
  EXPECT_EQ(run.reliability.size(), 1u);
  run.scores[1].status = Status::spread;
  run.scores[1].spread_from = run.ops[2].name;
  finalize(run, kKl, 1);
  EXPECT_TRUE(run.reliability.empty()) << "a copied score adds no evidence";
}

TEST(Reliability, ConstantHalvesSayNothing) {
  auto run = make_run();
  for (ScoreRecord& score : run.scores)
    for (ScopedSums& sample : score.per_sample) sample.answer = {};
  finalize(run, parse_metric("kl:answer"), 1);
  EXPECT_TRUE(run.reliability.empty());
}

TEST(Finalize, AgainGivesTheSameFile) {
  auto run = make_run();
  finalize(run, kKl, 1);
  const std::string first = to_text(to_json(run));
  finalize(run, kKl, 1);
  EXPECT_EQ(to_text(to_json(run)), first);
}

// Answers in the reverse order of all positions.
Run opposed_run() {
  auto run = make_run();
  run.scores = {make_score(0, {1, 2, 3}), make_score(1, {4, 5, 6}), make_score(2, {7, 8, 9})};
  for (size_t i = 0; i < 3; ++i)
    for (ScopedSums& sample : run.scores[i].per_sample) sample.answer.kl = 10 - 3 * static_cast<double>(i);
  finalize(run, kKl, 1);
  return run;
}

TEST(Reliability, IsKnownByBothScopes) {
  auto run = make_run();
  run.data.samples = 2;
  run.baselines.clear();
  run.scores = {make_score(0, {1, 3}), make_score(1, {2, 2}), make_score(2, {3, 1})};
  for (size_t i = 0; i < 3; ++i)
    for (ScopedSums& sample : run.scores[i].per_sample) sample.answer.kl = static_cast<double>(i);
  finalize(run, kKl, 1);
  ASSERT_EQ(run.reliability.size(), 1u);
  EXPECT_EQ(run.reliability[0].by_scope[0], -1);
  EXPECT_EQ(run.reliability[0].by_scope[1], 1);
  for (ScoreRecord& score : run.scores)
    for (ScopedSums& sample : score.per_sample) sample.answer = {};
  finalize(run, kKl, 1);
  EXPECT_FALSE(run.reliability.at(0).by_scope[1].has_value());
}

// A run that is ranked anew is the run that would have been ranked so, but for what only samples tell.
TEST(RankBy, GivesTheRanksOfARunByThatMetric) {
  const Metric answers = parse_metric("kl:answer");
  auto run = opposed_run(), expected = opposed_run();
  EXPECT_EQ(ranks(run), (std::vector<int64_t>{3, 2, 1}));
  finalize(expected, answers, 1);
  rank_by(run, answers);
  EXPECT_EQ(ranks(run), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(to_text(to_json(run)), to_text(to_json(expected))) << "reliability too, which is known by scope";
  EXPECT_EQ(run.reranked_from, kKl);
  rank_by(run, kKl);
  EXPECT_EQ(to_text(to_json(run)), to_text(to_json(opposed_run()))) << "and back";
}

TEST(RankBy, DropsAReliabilityThatIsNotKnown) {
  auto run = opposed_run();
  rank_by(run, parse_metric("logits_sse"));
  EXPECT_TRUE(run.reliability.empty());
  EXPECT_EQ(run.settings["metric"], "logits_sse:all");
}

TEST(RankBy, LeaveOneOutStillHasTheSmallestFirst) {
  auto run = opposed_run();
  for (ScoreRecord& score : run.scores) score.mode = Mode::leave_one_out;
  rank_by(run, parse_metric("kl:answer"));
  EXPECT_EQ(ranks(run), (std::vector<int64_t>{3, 2, 1}));
}

TEST(RankBy, RefusesWhatWasNotMeasured) {
  const auto refused = [](scores::Run run, const char* metric, const std::string& words) {
    const std::string before = to_text(to_json(run));
    try {
      rank_by(run, parse_metric(metric));
      ADD_FAILURE() << "ranked by " << metric;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(words));
    }
    EXPECT_EQ(to_text(to_json(run)), before);
  };
  auto run = opposed_run();
  for (ScoreRecord& score : run.scores) {
    score.measured = Measured::none();
    score.measured.add(kKl);
  }
  refused(run, "logits_sse", "expected a metric that the run has scores of (kl:all), found logits_sse:all");
  auto without = make_run();
  for (ScoreRecord& score : without.scores)
    for (ScopedSums& sample : score.per_sample) sample.answer = {};
  finalize(without, kKl, 1);
  refused(without, "kl:answer", "(kl:all, logits_sse:all, hidden_sse:all), found kl:answer");
}

}  // namespace
}  // namespace qsweep::scores
