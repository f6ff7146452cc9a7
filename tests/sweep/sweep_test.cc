// Properties of the exact sweep on the trained tiny model.
#include <map>

#include <gtest/gtest.h>

#include "base/process.h"
#include "base/stats.h"
#include "scores/schema.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using scores::Which;
using testing::scores_text;
using testing::TinyRun;

const std::vector<std::string> kFormats = {"w8a8", "w8a8_dynamic"};
const std::vector<std::string> kThreeSamples = {"eval-000", "eval-004", "eval-005"};  // one image, two, none

// Relative differences of one metric (scope all) between two runs over the same ops, and their rank
// correlation.
struct Difference {
  std::vector<double> errors;
  double spearman = 0;
};

Difference difference(const scores::Run& a, const scores::Run& b, Which which) {
  Difference d;
  std::vector<double> va, vb;
  EXPECT_EQ(a.scores.size(), b.scores.size());
  for (size_t i = 0; i < a.scores.size(); ++i) {
    EXPECT_EQ(a.scores[i].status, b.scores[i].status);
    if (!a.scores[i].total || !b.scores[i].total) continue;
    va.push_back(sum(a.scores[i].total->all, which));
    vb.push_back(sum(b.scores[i].total->all, which));
    if (vb.back() == 0) {
      EXPECT_EQ(va.back(), 0.0);
    } else {
      d.errors.push_back(std::abs(va.back() - vb.back()) / vb.back());
    }
  }
  d.spearman = spearman(va, vb);
  return d;
}

TEST(SweepSlow, FastAgreesWithStrict) {
  const TinyRun tiny(kThreeSamples);
  const auto fast = tiny.score({.formats = testing::formats(kFormats)});
  const auto strict = tiny.score({.formats = testing::formats(kFormats), .strict = true});
  for (const Which which : {Which::hidden_sse, Which::logits_sse, Which::kl}) {
    const Difference d = difference(fast.run, strict.run, which);
    std::printf("fast against strict, %s: median %.2g, worst %.2g, spearman %.6f\n",
                std::string(name(which)).c_str(), median(d.errors), quantile(d.errors, 1.0), d.spearman);
    EXPECT_TRUE(median(d.errors) <= 2e-3);
    EXPECT_TRUE(quantile(d.errors, 1.0) <= 2e-2);
    EXPECT_TRUE(d.spearman >= 0.9995);
  }
  const kernels::Gemm gemm({1});
  if (gemm.native_bf16()) {
    EXPECT_TRUE(fast.report.deltas.bf16_flops >= 0.9 * fast.report.deltas.flops);
  }
}

// Without the logits themselves their squared change is d (W^T W) d.
TEST(SweepSlow, SquaredErrorsAloneAreThoseOfTheWholeRun) {
  const TinyRun tiny(kThreeSamples);
  const scores::Metric logits{Which::logits_sse}, hidden{Which::hidden_sse};
  sweep::ScoreOptions options{.formats = testing::formats({"w8a8"}), .metrics = {hidden}, .metric = logits};
  const auto alone = tiny.score(options);
  options.metrics.clear();
  const auto whole = tiny.score(options);
  for (const Which which : {Which::hidden_sse, Which::logits_sse}) {
    const Difference d = difference(alone.run, whole.run, which);
    std::printf("%s: worst %.2g\n", std::string(name(which)).c_str(), quantile(d.errors, 1.0));
    EXPECT_TRUE(quantile(d.errors, 1.0) <= 1e-4);
  }
  EXPECT_TRUE(alone.report.deltas.flops < whole.report.deltas.flops);
  EXPECT_TRUE(std::isnan(alone.run.scores.front().total->all.kl));
}

TEST(SweepSlow, FastAgreesWithStrictWithLowPrecisionAndWithout) {
  using kernels::LowPrecision;
  const TinyRun tiny(kThreeSamples);
  const auto score = [&](bool strict, LowPrecision bf16) {
    return tiny.score({.formats = testing::formats({"w8a8"}), .strict = strict}, 2, bf16);
  };
  const auto expected = score(true, LowPrecision::never);
  for (const LowPrecision bf16 : {LowPrecision::never, LowPrecision::always})
    for (const bool strict : {false, true}) {
      const auto found = score(strict, bf16);
      const auto& deltas = found.report.deltas;
      EXPECT_EQ(deltas.bf16_flops > 0, bf16 == LowPrecision::always);
      const Difference d = difference(found.run, expected.run, Which::kl);
      std::printf("%s, bf16 products %s: median %.2g, worst %.2g\n", strict ? "strict" : "fast",
                  bf16 == LowPrecision::always ? "always" : "never", median(d.errors),
                  quantile(d.errors, 1.0));
      EXPECT_TRUE(median(d.errors) <= (strict ? 1e-4 : 2e-3));
      EXPECT_TRUE(quantile(d.errors, 1.0) <= 2e-2);
    }
}

// Calibration data that are the scored data need no pass of their own; a copy of them does.
TEST(Sweep, RangesAreFoundOnTheWay) {
  const TinyRun tiny({"eval-000", "eval-005"});
  const std::vector<models::Sample> copy = tiny.data;
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  const auto score = [&](const std::vector<models::Sample>& calibration) {
    sweep::Sweep sweep(
        tiny.model, context, tiny.data, calibration,
        {.formats = testing::formats({"w8a8"}), .ops_glob = "*.[12].*", .memory_bytes = int64_t{4} << 30});
    sweep.prepare();
    const scores::Run run = sweep.run({});
    EXPECT_EQ(sweep.report().phases_s.contains("calibrate"), &calibration == &copy);
    return scores_text(run);
  };
  const std::string apart = score(copy);
  EXPECT_EQ(score(tiny.data), apart);
}

TEST(Sweep, TwoRunsGiveTheSameBits) {
  const TinyRun tiny({"eval-000", "eval-005"});
  const sweep::ScoreOptions options{.formats = testing::formats(kFormats), .seed = 7};
  EXPECT_EQ(scores_text(tiny.score(options).run), scores_text(tiny.score(options).run));
}

// Memory for the run's own pass, above what the process holds already.
int64_t pass_bytes(const schedule::MemoryPlan& plan) { return plan.peak_bytes() - plan.base_bytes; }

// Slow: left out under sanitizers, whose memory is their own.
TEST(SweepSlow, LittleMemoryMeansMorePassesAndTheSameScores) {
  const TinyRun tiny(kThreeSamples);
  sweep::ScoreOptions options{.formats = testing::formats(kFormats), .strict = true};
  const auto whole = tiny.score(options);
  ASSERT_EQ(whole.report.plan.chunks.size(), 1u);
  const int64_t pass = pass_bytes(whole.report.plan);
  // Half the memory splits the samples, a tenth the variants too.
  for (const int64_t part : {2, 10}) {
    options.memory_bytes = resident_bytes() + (whole.report.plan.base_bytes - resident_bytes()) + pass / part;
    options.memory_bytes = std::max(options.memory_bytes, resident_bytes() + (int64_t{40} << 20));
    const auto chunked = tiny.score(options);
    std::printf("1/%d of the memory: %zu passes, peak %.1f MiB of %.1f\n", static_cast<int>(part),
                chunked.report.plan.chunks.size(),
                static_cast<double>(pass_bytes(chunked.report.plan)) / 1048576.0,
                static_cast<double>(pass) / 1048576.0);
    EXPECT_GT(chunked.report.plan.chunks.size(), 1u);
    EXPECT_LE(chunked.report.plan.peak_bytes(), options.memory_bytes);
    const Difference d = difference(chunked.run, whole.run, Which::kl);
    EXPECT_TRUE(median(d.errors) <= 3e-4);
    EXPECT_TRUE(quantile(d.errors, 0.9) <= 1e-2);
    EXPECT_TRUE(quantile(d.errors, 1.0) <= 0.1);
  }
}

TEST(Sweep, TooLittleMemorySaysHowMuchIsNeeded) {
  const TinyRun tiny({"eval-005"});
  try {
    tiny.score({.formats = testing::formats({"w8a8"}), .memory_bytes = int64_t{1} << 20});
    FAIL() << "a MiB was enough";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("--memory: sample \"eval-005\" needs"), std::string::npos)
        << e.what();
  }
}

// A sample's scores may not depend on its neighbours in the batch.
TEST(Sweep, NoSampleLeaksIntoAnother) {
  // (sample, op) -> KL
  const auto per_sample = [](const std::vector<std::string>& ids) {
    std::map<std::pair<std::string, int>, double> kl;
    const TinyRun tiny(ids);
    const auto result = tiny.score({.formats = testing::formats({"w8a8"}), .strict = true});
    for (const scores::ScoreRecord& score : result.run.scores)
      for (size_t s = 0; s < score.per_sample.size(); ++s)
        kl[{tiny.data[s].id, score.op}] = score.per_sample[s].all.kl;
    return kl;
  };
  const auto together = per_sample(kThreeSamples);
  for (const std::string& id : kThreeSamples) {
    std::vector<double> errors;
    for (const auto& [key, alone] : per_sample({id}))
      errors.push_back(std::abs(together.at(key) - alone) / alone);
    EXPECT_GE(errors.size(), 43u);
    EXPECT_TRUE(median(errors) <= 3e-4) << id;
    EXPECT_TRUE(quantile(errors, 1.0) <= 0.1) << id;
  }
}

TEST(Sweep, ProductsPerOpDoNotDependOnTheNumberOfVariants) {
  const TinyRun tiny(kThreeSamples);
  const auto products = [&](const std::string& ops) {
    const auto result = tiny.score({.formats = testing::formats({"w8a8"}), .ops_glob = ops, .strict = true});
    return result.report;
  };
  // With the patch embedding forked, every later op has live pairs: one product each, whatever their number.
  const auto few = products("visual.patch_embed.proj"), more = products("visual.[pb]*");
  const int64_t forks =
      static_cast<int64_t>(more.plan.chunks[0].variants.size() - few.plan.chunks[0].variants.size());
  EXPECT_EQ(forks, 30);
  // A fork's own error takes two products; its pairs ride along in the products of all later ops.
  const int64_t own = 2 * forks;
  EXPECT_EQ(more.deltas.calls - own, few.deltas.calls);
}

TEST(Sweep, TextAloneLeavesTheVisionTowerUnexercised) {
  const TinyRun tiny({"eval-005", "eval-011"});
  const auto result = tiny.score({.formats = testing::formats(kFormats)});
  int unexercised = 0;
  for (const scores::ScoreRecord& score : result.run.scores) {
    const scores::OpRecord& op = result.run.ops[static_cast<size_t>(score.op)];
    if (op.tower == "language") {
      EXPECT_EQ(score.status, scores::Status::ok) << op.name;
    } else {
      EXPECT_EQ(score.status, scores::Status::unexercised) << op.name;
      EXPECT_FALSE(score.total.has_value());
      EXPECT_FALSE(score.rank.has_value());
      ++unexercised;
    }
  }
  EXPECT_EQ(unexercised, 2 * 33);
}

TEST(Sweep, ImageOpsWithTextCalibrationAreUncalibrated) {
  TinyRun tiny({"eval-000"});
  std::erase_if(tiny.calibration, [](const models::Sample& s) { return !s.images.empty(); });
  const auto result =
      tiny.score({.formats = testing::formats(kFormats), .ops_glob = "visual.patch_embed.proj"});
  for (const scores::ScoreRecord& score : result.run.scores) {
    if (result.run.ops[static_cast<size_t>(score.op)].name != "visual.patch_embed.proj") {
      EXPECT_EQ(score.status, scores::Status::skipped);
    } else {
      EXPECT_EQ(score.status, score.format == "w8a8" ? scores::Status::uncalibrated : scores::Status::ok);
    }
  }
}

}  // namespace
}  // namespace qsweep
