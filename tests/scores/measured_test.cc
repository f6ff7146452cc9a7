// Scores that know only some metrics: estimates, the method local, rankings over methods.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/csv.h"
#include "scores/finalize.h"
#include "scores/schema.h"
#include "scores/synthetic.h"

namespace qsweep::scores {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Metric kLogits{Which::logits_sse, Scope::all};

Measured only(Metric metric) {
  Measured measured = Measured::none();
  measured.add(metric);
  return measured;
}

// Scores by an estimator of kl:all, with what it did not compute left as it happened to be.
Run estimated_run() {
  auto run = make_run();
  for (ScoreRecord& score : run.scores) {
    score.method = Method::adjoint;
    score.measured = only(kKl);
    for (ScopedSums& sample : score.per_sample) sample.all.hidden_sse = std::nan("");
  }
  run.scores[2].estimates = {{"token_form", 0.1}, {"coherence", 1.25}};
  return run;
}

Run local_run() {
  auto run = make_run();
  for (ScoreRecord& score : run.scores) {
    score.method = Method::local;
    score.measured = Measured::none();
    for (size_t i = 1; i < score.per_sample.size(); ++i) score.per_sample[0].add(score.per_sample[i]);
    score.per_sample.resize(1);
    score.local->error_sse = 10.0 - score.op;
  }
  run.scores[1].local->error_sse = 64;
  return run;
}

Run read_back(const Run& run) { return from_json(io::parse_json(to_text(to_json(run)), "t"), "t"); }

TEST(Measured, IsASetOfMetrics) {
  for (Metric metric : kAllMetrics) {
    EXPECT_TRUE(Measured::all().has(metric));
    EXPECT_FALSE(Measured::none().has(metric));
    for (Metric other : kAllMetrics) EXPECT_EQ(only(metric).has(other), metric == other);
  }
  Measured measured = Measured::none();
  for (Metric metric : kAllMetrics) measured.add(metric);
  EXPECT_EQ(measured, Measured::all());
  measured.remove(kKl);
  EXPECT_FALSE(measured.has(kKl));
}

TEST(Measured, OnlyMeasuredMetricsCount) {
  auto run = estimated_run();
  finalize(run, kKl, 1);
  const ScoreRecord& score = run.scores[0];
  EXPECT_EQ(score.status, Status::ok) << "a NaN that is no result does no harm";
  EXPECT_EQ(score.sum(kKl), 6);
  EXPECT_EQ(score.per_position(kKl), 0.2);
  EXPECT_TRUE(score.intervals.of(kKl).has_value());
  EXPECT_EQ(score.total->all.positions, 30);
  for (Metric metric : kAllMetrics) {
    if (metric == kKl) continue;
    EXPECT_FALSE(score.has(metric)) << name(metric);
    EXPECT_TRUE(std::isnan(score.sum(metric))) << name(metric);
    EXPECT_TRUE(std::isnan(score.per_position(metric))) << name(metric);
    EXPECT_FALSE(score.intervals.of(metric).has_value()) << name(metric);
  }
  EXPECT_TRUE(std::isnan(score.logits_mse(Scope::all)));
  EXPECT_TRUE(std::isnan(score.perplexity_ratio(Scope::all)));
  EXPECT_THAT(ranks(run), ElementsAre(3, 1, 2, 4));
  EXPECT_EQ(run.reliability.size(), 1u);
}

TEST(Measured, NoRankByWhatWasNotMeasured) {
  auto run = estimated_run();
  run.scores[3].measured.add(kLogits);
  finalize(run, kLogits, 1);
  EXPECT_THAT(ranks(run), ElementsAre(-1, -1, -1, 1));
  EXPECT_TRUE(run.reliability.empty());
}

TEST(Measured, NullInTheFileAndEmptyInTheTable) {
  auto run = estimated_run();
  finalize(run, kKl, 1);
  const io::Json metrics = to_json(run)["scores"][0]["metrics"];
  EXPECT_EQ(metrics["all"]["kl"], 6);
  for (const char* key : {"hidden_sse", "logits_sse", "nll_delta", "top1_flips"})
    EXPECT_TRUE(metrics["all"].at(key).is_null()) << key;
  EXPECT_TRUE(metrics["answer"]["kl"].is_null());
  EXPECT_EQ(metrics["answer"]["positions"], 15);
  EXPECT_FALSE(metrics["all"]["ci95"]["kl"].is_null());
  EXPECT_TRUE(metrics["all"]["ci95"]["logits_sse"].is_null());
  EXPECT_THAT(to_csv(run),
              HasSubstr(",adjoint,ok,3,approximate,8.5,,,,6,,,30,27,240,480,0.2,,,,,,15,15,240,480,,"
                        "kl:all,"));
}

TEST(Measured, RoundTrip) {
  for (auto run : {estimated_run(), local_run()}) {
    finalize(run, kKl, 1);
    const auto read = read_back(run);
    EXPECT_EQ(to_text(to_json(read)), to_text(to_json(run)));
    EXPECT_EQ(to_csv(read), to_csv(run));
    EXPECT_EQ(read.scores[2].measured, run.scores[2].measured);
    EXPECT_EQ(read.scores[2].estimates, run.scores[2].estimates);
    EXPECT_EQ(read.scores[2].rank, run.scores[2].rank);
  }
}

TEST(Measured, ASpreadScoreKnowsWhatItsRepresentativeKnows) {
  auto run = estimated_run();
  run.scores[0].status = Status::spread;
  run.scores[0].measured = Measured::all();
  run.scores[0].spread_from = run.ops[2].name;
  finalize(run, kKl, 1);
  EXPECT_EQ(run.scores[0].measured, only(kKl));
  EXPECT_THAT(ranks(run), ElementsAre(1, 2, 3, 4)) << "12, 12, 12, 3";
}

TEST(Estimates, AreWrittenByName) {
  auto run = estimated_run();
  run.scores[1].estimates = {{"fisher_trace", std::nan("")}};
  finalize(run, kKl, 1);
  const io::Json scores = to_json(run)["scores"];
  EXPECT_EQ(scores[2]["estimates"], (io::Json{{"token_form", 0.1}, {"coherence", 1.25}}));
  EXPECT_TRUE(scores[1]["estimates"].is_null()) << "not finite";
  EXPECT_TRUE(scores[0]["estimates"].is_null());
  EXPECT_THAT(to_csv(run), HasSubstr(",token_form=0.1;coherence=1.25\n"));
  EXPECT_EQ(run.scores[2].estimate("coherence"), 1.25);
  EXPECT_FALSE(run.scores[2].estimate("trace").has_value());
}

// Relative errors over the samples: at most sqrt(3)/6 = 0.29 here.
TEST(Estimates, AKnownStandardErrorWidensTheRankingMetricsInterval) {
  auto run = estimated_run();
  for (ScoreRecord& score : run.scores) score.measured.add(kLogits);
  run.scores[0].estimates = {{"relative_standard_error", 0.5}};
  run.scores[1].estimates = {{"relative_standard_error", 0.01}};
  auto without = estimated_run();
  finalize(run, kKl, 1);
  finalize(without, kKl, 1);
  const double high = run.scores[0].intervals.of(kKl)->high, expected = 0.2 * std::exp(kT2 * 0.5);
  EXPECT_TRUE(std::fabs(high - expected) <= 1e-9 * expected) << high;
  EXPECT_EQ(run.scores[1].intervals.of(kKl)->high, without.scores[1].intervals.of(kKl)->high);
  const auto& logits = run.scores[0].intervals.of(kLogits);
  EXPECT_TRUE(logits->high / logits->low < std::exp(2 * kT2 * 0.3)) << "it is of the ranking metric only";
}

TEST(Local, RanksByTheErrorAtTheOp) {
  auto run = local_run();
  finalize(run, kKl, 1);
  EXPECT_THAT(ranks(run), ElementsAre(2, 1, 3, 4));
  EXPECT_TRUE(run.reliability.empty());
  EXPECT_TRUE(run.scores[0].total.has_value());
  EXPECT_EQ(ranking_value(run, run.scores[1]), 0.8);
  run.scores[0].local->output_sse = 0;
  finalize(run, kKl, 1);
  EXPECT_THAT(ranks(run), ElementsAre(-1, 1, 2, 3)) << "no output, no relative error";
}

TEST(Local, MetricsBreakTheContract) {
  auto run = local_run();
  run.scores[0].measured = Measured::all();
  EXPECT_THROW(finalize(run, kKl, 1), ContractError);
}

Run joint_run() {
  auto run = make_run();
  run.scores[0].method = run.scores[3].method = Method::adjoint;
  run.scores[0].measured = run.scores[3].measured = only(kKl);
  run.joint_ranking = true;
  run.settings["method"] = "auto";
  return run;
}

TEST(JointRanking, OverMethodsWithinFormatAndMode) {
  auto run = joint_run();
  run.scores.push_back(make_score(0, {1, 1, 1}));
  run.scores.back().format = "nvfp4";
  finalize(run, kKl, 1);
  EXPECT_THAT(ranks(run), ElementsAre(3, 1, 2, 4, 1));
  ASSERT_EQ(run.reliability.size(), 1u);
  EXPECT_EQ(run.reliability[0].method, Method::automatic);
  EXPECT_EQ(group_scores(run)[0].method, Method::automatic);
  EXPECT_EQ(run.scores[1].method, Method::exact);
  EXPECT_TRUE(run.scores[1].flags.empty());
}

// The relative errors of op 3, {1, 1, 1}, are 0: its interval has the pooled width, of adjoint scores only.
TEST(JointRanking, IntervalsArePooledPerMethod) {
  auto run = joint_run();
  finalize(run, kKl, 1);
  const double typical = std::sqrt((1.0 / 12 + 0) / 2), expected = 0.1 * std::exp(kT2 * typical);
  const double high = run.scores[3].intervals.of(kKl)->high;
  EXPECT_TRUE(std::fabs(high - expected) <= 1e-9 * expected) << high;
}

TEST(JointRanking, IsReadFromTheSettings) {
  auto run = joint_run();
  finalize(run, kKl, 1);
  const auto read = read_back(run);
  EXPECT_TRUE(read.joint_ranking);
  EXPECT_EQ(group_scores(read).size(), 1u);
  EXPECT_EQ(to_text(to_json(read)), to_text(to_json(run)));
  run.settings["method"] = "exact";
  EXPECT_THROW(read_back(run), Error) << "ranks over methods are none of a single one";
  run.joint_ranking = false;
  finalize(run, kKl, 1);
  EXPECT_FALSE(read_back(run).joint_ranking);
}

TEST(JointRanking, AutoIsNoMethodOfAScore) {
  auto run = joint_run();
  finalize(run, kKl, 1);
  io::Json json = to_json(run);
  json["scores"][1]["method"] = "auto";
  try {
    from_json(json, "t");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("t: scores[1]: method: expected the one that made the score"));
  }
  run.scores[1].method = Method::automatic;
  EXPECT_THROW(finalize(run, kKl, 1), ContractError);
}

TEST(Measured, ARankNeedsWhatItRanksBy) {
  auto run = estimated_run();
  finalize(run, kKl, 1);
  io::Json json = to_json(run);
  io::Json& last = json["scores"][3];
  ASSERT_EQ(last["rank"], 4);
  last["metrics"]["all"]["kl"] = last["metrics"]["all"]["ci95"]["kl"] = nullptr;
  try {
    from_json(json, "t");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("t: scores[3]: \"rank\": expected null"));
  }
  last["rank"] = nullptr;
  EXPECT_NO_THROW(from_json(json, "t"));
  last["estimates"] = {{"coherence", "high"}};
  EXPECT_THROW(from_json(json, "t"), Error);
}

TEST(Baselines, FormatAndFloatOps) {
  auto run = make_run();
  run.baselines[0].float_ops = {run.ops[0].name};
  finalize(run, kKl, 1);
  EXPECT_EQ(run.baselines[0].format, "w8a8");
  io::Json json = to_json(run);
  EXPECT_EQ(json["baselines"][0]["format"], "w8a8");
  EXPECT_EQ(json["baselines"][0]["float_ops"], io::Json({run.ops[0].name}));
  EXPECT_EQ(to_text(to_json(from_json(json, "t"))), to_text(json));
  json["baselines"][0].erase("format");
  json["baselines"][0].erase("float_ops");
  EXPECT_EQ(from_json(json, "t").baselines[0].format, "w8a8");
  json["baselines"][0]["float_ops"] = 3;
  EXPECT_THROW(from_json(json, "t"), Error);
}

}  // namespace
}  // namespace qsweep::scores
