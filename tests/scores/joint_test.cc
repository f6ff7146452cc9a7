#include "scores/joint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/finalize.h"
#include "scores/synthetic.h"

namespace qsweep::scores {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

using Formats = std::map<std::string, std::string>;

// Sums of w8a8 are 6, 12, 12, 3 of 33, of nvfp4 twice that; all:w8a8 has 66, all:nvfp4 99.
Run two_formats() {
  auto run = make_run();
  for (int op = 0; op < 4; ++op) {
    auto score = run.scores[op];
    score.format = "nvfp4";
    for (ScopedSums& sample : score.per_sample) sample = sample_sums(2 * sample.all.kl, 10);
    run.scores.push_back(score);
  }
  run.baselines[0].per_sample = make_score(0, {11, 22, 33}).per_sample;
  run.baselines.push_back(run.baselines[0]);
  run.baselines[1].name = "all:nvfp4";
  run.baselines[1].per_sample = make_score(0, {33, 33, 33}).per_sample;
  return run;
}

JointModel model_of(Run run, Metric metric = kKl) {
  finalize(run, kKl, 1);
  return JointModel::from_run(run, metric);
}

TEST(Joint, KappaIsMeasuredOverSum) {
  const JointModel model = model_of(two_formats());
  const JointFormat& w8a8 = model.formats().at("w8a8");
  EXPECT_EQ(w8a8.sum_all, 33);
  EXPECT_EQ(w8a8.measured_all, 66);
  EXPECT_EQ(w8a8.kappa, 2);
  EXPECT_EQ(model.formats().at("nvfp4").kappa, 1.5);
  EXPECT_TRUE(w8a8.unscored.empty());
}

// S = 18 of 33: 18 (1 + 18/33).
TEST(Joint, PredictsASet) {
  const auto run = two_formats();
  const Prediction p = model_of(run).predict({{run.ops[0].name, "w8a8"}, {run.ops[2].name, "w8a8"}});
  EXPECT_EQ(p.plain_sum, 18);
  EXPECT_DOUBLE_EQ(p.corrected.value(), 18 * (1 + 18.0 / 33));
  EXPECT_EQ(p.positions, 30);
  EXPECT_TRUE(p.complete());
}

TEST(Joint, EverythingIsPredictedAsMeasured) {
  const auto run = two_formats();
  Formats everything;
  for (const OpRecord& op : run.ops) everything[op.name] = "nvfp4";
  EXPECT_DOUBLE_EQ(model_of(run).predict(everything).corrected.value(), 99);
  EXPECT_EQ(model_of(run).predict({}).corrected, 0);
}

// S = 6 + 24 = 30; growth 1 + (2 - 1) 6/33 + (1.5 - 1) 24/66.
TEST(Joint, PredictsMixedFormats) {
  const auto run = two_formats();
  const Prediction p = model_of(run).predict({{run.ops[0].name, "w8a8"}, {run.ops[1].name, "nvfp4"}});
  EXPECT_EQ(p.plain_sum, 30);
  EXPECT_DOUBLE_EQ(p.corrected.value(), 30 * (1 + 6.0 / 33 + 0.5 * 24 / 66));
}

TEST(Joint, NamesWhatHasNoScore) {
  auto run = two_formats();
  run.scores[0].status = Status::unexercised;
  const JointModel model = model_of(run);
  EXPECT_THAT(model.formats().at("w8a8").unscored, ElementsAre(run.ops[0].name));
  EXPECT_DOUBLE_EQ(model.formats().at("w8a8").kappa.value(), 66.0 / 27) << "it adds nothing to all:w8a8";
  const Prediction p = model.predict({{run.ops[0].name, "w8a8"}, {run.ops[3].name, "mxfp4"}});
  EXPECT_THAT(p.missing,
              ::testing::UnorderedElementsAre(Pair(run.ops[0].name, "w8a8"), Pair(run.ops[3].name, "mxfp4")));
  EXPECT_FALSE(p.complete());
  EXPECT_EQ(p.plain_sum, 0);
}

TEST(Joint, NoKappaWhereTheSumLacksWhatTheBaselineHas) {
  for (Status status : {Status::skipped, Status::uncalibrated}) {
    auto run = two_formats();
    run.scores[1].status = status;
    const JointModel model = model_of(run);
    EXPECT_EQ(model.formats().at("w8a8").kappa.has_value(), status == Status::uncalibrated) << name(status);
    const Prediction p = model.predict({{run.ops[0].name, "w8a8"}});
    EXPECT_EQ(p.corrected.has_value(), status == Status::uncalibrated);
    EXPECT_EQ(p.plain_sum, 6);
  }
  auto run = two_formats();
  run.baselines.pop_back();
  EXPECT_FALSE(model_of(run).formats().at("nvfp4").kappa.has_value());
  run.scores.pop_back();
  EXPECT_FALSE(model_of(run).formats().at("nvfp4").kappa.has_value()) << "an op without a record";
}

TEST(Joint, SpreadScoresCount) {
  auto run = two_formats();
  run.scores[0].status = Status::spread;
  run.scores[0].spread_from = run.ops[3].name;
  EXPECT_EQ(model_of(run).formats().at("w8a8").sum_all, 30);
}

TEST(Joint, PrefersExactScoresAndIgnoresOtherModes) {
  auto run = two_formats();
  auto other = run.scores[0];
  other.method = Method::adjoint;
  other.per_sample = make_score(0, {100, 100, 100}).per_sample;
  run.scores.insert(run.scores.begin(), other);
  other.method = Method::exact;
  other.mode = Mode::leave_one_out;
  run.scores.insert(run.scores.begin(), other);
  EXPECT_EQ(model_of(run).formats().at("w8a8").sum_all, 33);
}

TEST(Joint, AllMetricsThatTheRunMeasured) {
  auto run = two_formats();
  finalize(run, parse_metric("hidden_sse:answer"), 1);
  std::vector<std::string> found;
  for (const Prediction& p : predict_all(run, {{run.ops[0].name, "w8a8"}})) found.push_back(name(p.metric));
  EXPECT_THAT(found, ElementsAre("kl:all", "logits_sse:all", "hidden_sse:all", "kl:answer",
                                 "logits_sse:answer", "hidden_sse:answer"));
  for (ScoreRecord& score : run.scores) score.measured.remove({Which::logits_sse, Scope::all});
  finalize(run, kKl, 1);
  EXPECT_EQ(predict_all(run, {{run.ops[0].name, "w8a8"}}).size(), 5u);
}

TEST(Joint, NothingIsPredictedOfAnswersWhereThereIsNone) {
  auto run = two_formats();
  for (ScoreRecord& score : run.scores)
    for (ScopedSums& sample : score.per_sample) sample.answer = {};
  finalize(run, kKl, 1);
  for (const Prediction& p : predict_all(run, {{run.ops[0].name, "w8a8"}}))
    EXPECT_EQ(p.metric.scope, Scope::all);
}

TEST(Joint, PairsAddHowErrorsAlign) {
  scores::Run run = make_run();
  finalize(run, {}, 1);
  // Sums 6, 12, 12 and 3; products of the scores of ops 0, 1 and 3.
  const std::vector<MetricInteractions> pairs{
      {{}, Interactions({0, 1, 3}, {6, -2, 1, -2, 12, 0.5, 1, 0.5, 3})}};
  const auto foretold = [&](const std::vector<size_t>& ops) {
    std::map<std::string, std::string> formats;
    for (const size_t op : ops) formats[run.ops[op].name] = "w8a8";
    return predict_all(run, formats, pairs);
  };
  EXPECT_EQ(foretold({0, 1, 3})[0].with_pairs, 21 + 2 * (-2 + 1 + 0.5));
  EXPECT_EQ(foretold({0, 1, 3})[0].best(), 20);
  EXPECT_EQ(foretold({0, 2})[0].with_pairs, std::nullopt) << "op 2 has no products";
  EXPECT_EQ(foretold({0, 2})[0].best(), foretold({0, 2})[0].corrected);
  EXPECT_EQ(foretold({0, 1})[1].with_pairs, std::nullopt) << "of another metric";
}

}  // namespace
}  // namespace qsweep::scores
