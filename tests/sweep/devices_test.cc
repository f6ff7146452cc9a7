// Runs on several devices: the scores of one, and the same bits in every run.
#include <cmath>

#include <gtest/gtest.h>

#include "base/stats.h"
#include "schedule/cpus.h"
#include "scores/eval.h"
#include "scores/schema.h"
#include "sweep/calibrate.h"
#include "sweep/evaluate.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using scores::Method;
using scores::Mode;
using sweep::ScoreOptions;
using testing::Cpus;
using testing::scores_text;
using testing::TinyRun;

// Relative differences of all that two runs measured.
struct Differences {
  double worst = 0, median = 0;
  double spearman = 0;  // of what ranks
};

Differences differences(const scores::Run& expected, const scores::Run& found) {
  std::vector<double> errors{0}, ranking, ranking_found;
  const auto add = [&](double a, double b) {
    if (!(a == b)) errors.push_back(std::abs(b - a) / std::abs(a));
  };
  const auto add_metrics = [&](const scores::Measurement& a, const scores::Measurement& b) {
    for (const auto which : {scores::Which::hidden_sse, scores::Which::logits_sse, scores::Which::kl}) {
      EXPECT_EQ(a.has({which}), b.has({which}));
      if (a.total && a.has({which})) add(scores::sum(a.total->all, which), scores::sum(b.total->all, which));
    }
  };
  EXPECT_EQ(expected.scores.size(), found.scores.size());
  for (size_t i = 0; i < expected.scores.size(); ++i) {
    const scores::ScoreRecord &a = expected.scores[i], &b = found.scores[i];
    EXPECT_EQ(a.status, b.status) << i;
    EXPECT_EQ(a.local.has_value(), b.local.has_value()) << i;
    if (a.local) {
      add(a.local->error_sse, b.local->error_sse);
      EXPECT_EQ(a.local->rows, b.local->rows) << i;
    }
    EXPECT_EQ(a.estimates.size(), b.estimates.size()) << i;
    for (size_t e = 0; e < a.estimates.size(); ++e)
      if (a.estimates[e].first == "weight_error_sse") add(a.estimates[e].second, b.estimates[e].second);
    add_metrics(a, b);
    if (!a.rank) continue;
    ranking.push_back(static_cast<double>(*a.rank));
    ranking_found.push_back(static_cast<double>(b.rank.value()));
  }
  for (size_t i = 0; i < expected.baselines.size(); ++i)
    add_metrics(expected.baselines[i], found.baselines[i]);
  return {
      .worst = quantile(errors, 1.0), .median = median(errors), .spearman = spearman(ranking, ranking_found)};
}

const std::vector<std::string> kSamples = {"eval-011", "eval-026",
                                           "eval-005"};  // a text, a small image, a text

struct Bounds {
  double worst, median;
};
// The same products but for the number of their rows, in f32.
constexpr Bounds kWithoutDecisions{1e-4, 1e-5};
// Where activations are rounded, decisions differ now and then; as in Sweep.LittleMemory...
constexpr Bounds kWithDecisions{0.1, 3e-4};

// Of runs on several devices against one of one device, and against themselves.
void expect_scores_of_one(const TinyRun& tiny, const ScoreOptions& options, Bounds bounds) {
  const auto expected = tiny.score_on(*Cpus(1), options);
  for (const size_t devices : {2, 3}) {
    const Cpus cpus(devices);
    const auto found = tiny.score_on(*cpus, options);
    EXPECT_EQ(found.report.plan.devices(), devices);
    const Differences d = differences(expected.run, found.run);
    std::printf("%zu of samples, on %zu devices: worst %.2g, median %.2g, spearman %.6f\n", tiny.data.size(),
                devices, d.worst, d.median, d.spearman);
    EXPECT_TRUE(d.worst <= bounds.worst);
    EXPECT_TRUE(d.median <= bounds.median);
    EXPECT_TRUE(d.spearman >= 0.999);
    EXPECT_EQ(scores_text(found.run), scores_text(tiny.score_on(*cpus, options).run));
  }
}

TEST(SharedSweep, SamplesAreShared) {
  const TinyRun tiny(kSamples);
  ScoreOptions options{.formats = testing::formats({"w4a16_g32"}), .ops_glob = "*.[12].*", .strict = true};
  expect_scores_of_one(tiny, options, kWithoutDecisions);
  options.formats = testing::formats({"w8a8"});  // needs ranges
  expect_scores_of_one(tiny, options, kWithDecisions);
}

TEST(SharedSweep, VariantsOfOneSampleAreShared) {
  const TinyRun tiny({kSamples[1]});
  ScoreOptions options{.formats = testing::formats({"w4a16_g32"}), .ops_glob = "*.[12].*", .strict = true};
  expect_scores_of_one(tiny, options, kWithoutDecisions);
  options.mode = Mode::leave_one_out;
  expect_scores_of_one(tiny, options, kWithoutDecisions);
}

// One device can find the ranges on its way; several need them before they begin.
TEST(SharedSweep, RangesOfTheScoredData) {
  TinyRun tiny({kSamples[1]});
  const Cpus cpus(2);
  ScoreOptions options{.formats = testing::formats({"w8a8"}), .ops_glob = "*.[12].*"};
  options.memory_bytes = int64_t{4} << 30;
  sweep::Sweep sweep(tiny.model, *cpus, tiny.data, tiny.data, options);
  sweep.prepare();
  const std::string found = scores_text(sweep.run({}));
  EXPECT_EQ(sweep.plan().chunks.front().samples.size(), tiny.data.size());
  tiny.calibration = tiny.data;
  EXPECT_EQ(found, scores_text(tiny.score_on(*cpus, options).run));
}

TEST(SharedSweep, LeaveOneOut) {
  const ScoreOptions options{.formats = testing::formats({"w4a16_g32"}),
                             .mode = Mode::leave_one_out,
                             .ops_glob = "*.[12].*",
                             .strict = true};
  expect_scores_of_one(TinyRun(kSamples), options, kWithoutDecisions);
}

TEST(SharedSweep, Estimates) {
  const TinyRun tiny(kSamples);
  for (const Method method : {Method::adjoint, Method::hawq, Method::automatic}) {
    const ScoreOptions options{.formats = testing::formats({"w4a16_g32"}),
                               .method = method,
                               .probes = 2,
                               .ops_glob = "*.[12].*",
                               .strict = true};
    expect_scores_of_one(tiny, options, kWithoutDecisions);
  }
}

TEST(SharedSweep, VerifiedScores) {
  const TinyRun tiny(kSamples);
  const ScoreOptions options{.formats = testing::formats({"w8a8"}), .ops_glob = "*.2.*", .verify = 3};
  EXPECT_EQ(tiny.score_on(*Cpus(2), options).run.verification.size(), 3u);
}

TEST(SharedSweep, Recipes) {
  const TinyRun tiny(kSamples);
  const auto evaluate = [&](size_t devices) {
    const Cpus cpus(devices);
    const auto all = [&](const char* format) {
      return std::vector<const quant::Format*>(tiny.model.ops.size(), &quant::find_format(format));
    };
    sweep::Evaluation evaluation({.model = tiny.model,
                                  .devices = *cpus,
                                  .data = tiny.data,
                                  .calibration = tiny.calibration,
                                  .strict = true,
                                  .memory_bytes = int64_t{4} << 30},
                                 {{"int4", "", all("w4a16_g32")}, {"fp4", "", all("w4a16_g128")}});
    evaluation.prepare();
    EXPECT_EQ(evaluation.plan().devices(), devices);
    return evaluation.run({}, {});
  };
  const scores::EvalRun expected = evaluate(1), found = evaluate(2);
  for (size_t i = 0; i < 2; ++i)
    EXPECT_NEAR(found.recipes[i].total->all.kl / expected.recipes[i].total->all.kl, 1, 1e-4);
}

// What all devices did is counted.
TEST(SharedSweep, ProductsOfAllDevicesAreCounted) {
  const TinyRun tiny(kSamples);
  const ScoreOptions options{.formats = testing::formats({"w4a16_g32"}), .ops_glob = "*.2.*", .strict = true};
  const auto one = tiny.score_on(*Cpus(1), options), two = tiny.score_on(*Cpus(2), options);
  EXPECT_DOUBLE_EQ(two.report.reference.flops, one.report.reference.flops);
  EXPECT_GE(two.report.deltas.flops, one.report.deltas.flops * 0.999);
  EXPECT_LE(two.report.deltas.flops, one.report.deltas.flops * 1.05);
}

TEST(SharedSweep, CalibrationIsShared) {
  const TinyRun tiny(kSamples);
  const auto ranges = [&](size_t devices) {
    const Cpus cpus(devices);
    const auto plan = sweep::plan_calibration(tiny.model, *cpus, tiny.data, int64_t{4} << 30);
    schedule::PhaseLog log;
    return sweep::calibrate(tiny.model, *cpus, tiny.data, plan, log);
  };
  const pass::Ranges expected = ranges(1), found = ranges(3);
  for (size_t op = 0; op < expected.size(); ++op) {
    ASSERT_TRUE(expected[op].has_value() && found[op].has_value()) << op;
    EXPECT_NEAR(found[op]->min, expected[op]->min, 1e-4 * std::abs(expected[op]->min)) << op;
    EXPECT_NEAR(found[op]->max, expected[op]->max, 1e-4 * std::abs(expected[op]->max)) << op;
  }
}

TEST(SharedSweep, WhatProgressThrowsComesOut) {
  struct Interruption {};
  const TinyRun tiny(kSamples);
  const Cpus cpus(2);
  sweep::Sweep sweep(tiny.model, *cpus, tiny.data, tiny.calibration,
                     {.formats = testing::formats({"w4a16_g32"}), .memory_bytes = int64_t{4} << 30});
  sweep.prepare();
  int calls = 0;
  const auto progress = [&](const sweep::Progress&) {
    if (++calls == 5) throw Interruption();
  };
  EXPECT_THROW(sweep.run(progress), Interruption);
  EXPECT_LE(calls, 6) << "another device may be about to call";
}

}  // namespace
}  // namespace qsweep
