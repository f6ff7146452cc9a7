// Every mode's variants, carried as deltas against their parents, against the same variants computed alone in
// f32 values.
#include <gtest/gtest.h>

#include "base/stats.h"
#include "sweep/records.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using pass::Variant;
using quant::Format;
using scores::Mode;
using testing::TinyRun;

const std::vector<std::string> kTwoSamples = {"eval-000", "eval-005"};  // one image, none

using Totals = std::vector<scores::ScopedSums>;

Totals measure(const TinyRun& tiny, const std::vector<Variant>& variants) {
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  sweep::VariantRun run({tiny.model, context, tiny.data, tiny.calibration, /*strict=*/true, int64_t{4} << 30},
                        variants, all_of(variants));
  run.prepare();
  std::vector<Totals> per_sample(variants.size(), sweep::unchanged(tiny.model, tiny.data));
  run.run({.metrics =
               [&](pass::VariantId variant, int sample, const scores::ScopedSums& sums) {
                 at(per_sample, variant)[static_cast<size_t>(sample)] = sums;
               },
           .local = [](pass::VariantId, const scores::LocalStats&) {}},
          {});
  Totals totals(variants.size());
  for (size_t v = 0; v < variants.size(); ++v)
    for (const scores::ScopedSums& sample : per_sample[v]) totals[v].add(sample);
  return totals;
}

// A leaf with its parent's formats filled in.
Variant alone(const std::vector<Variant>& variants, const Variant& leaf) {
  Variant all{.carried = true};
  all.formats = leaf.parent == pass::kReference ? std::vector<const Format*>(variants[0].formats.size())
                                                : at(variants, leaf.parent).formats;
  for (const graph::Override& o : leaf.overrides) all.formats[static_cast<size_t>(o.op)] = o.format;
  return all;
}

// Relative errors of the leaves of a mode, against the same variants alone.
struct LeafErrors {
  std::vector<double> logits, kl;
};

LeafErrors errors_of_leaves(const TinyRun& tiny, const sweep::ScoreOptions& options) {
  const sweep::Outlook outlook = sweep::make_outlook(tiny.model, tiny.data, tiny.calibration, options);
  std::vector<Variant> separate;
  std::vector<size_t> leaves;
  for (size_t v = 0; v < outlook.variants.size(); ++v) {
    if (outlook.variants[v].carried) continue;
    leaves.push_back(v);
    separate.push_back(alone(outlook.variants, outlook.variants[v]));
  }
  const Totals together = measure(tiny, outlook.variants), apart = measure(tiny, separate);
  LeafErrors errors;
  for (size_t i = 0; i < leaves.size(); ++i) {
    const scores::MetricSums &got = together[leaves[i]].all, &want = apart[i].all;
    errors.logits.push_back(std::abs(got.logits_sse / want.logits_sse - 1));
    errors.kl.push_back(std::abs(got.kl / want.kl - 1));
  }
  std::printf("%s, %zu leaves: logits median %.2g, worst %.2g; KL %.2g, %.2g\n",
              std::string(name(options.mode)).c_str(), leaves.size(), median(errors.logits),
              quantile(errors.logits, 1), median(errors.kl), quantile(errors.kl, 1));
  return errors;
}

sweep::ScoreOptions options_of(const std::string& format, Mode mode, const std::string& keep_float = "*") {
  return {.formats = testing::formats({format}), .mode = mode, .keep_float = keep_float};
}

TEST(ModesSlow, LeavesEqualTheVariantsAlone) {
  const TinyRun tiny(kTwoSamples);
  for (const auto& [mode, keep_float] : {std::pair{Mode::leave_one_out, "*"},
                                         {Mode::requantize, "*.layers.*"},
                                         {Mode::requantize_cumulative, "*"},
                                         {Mode::requantize_cumulative, "*proj"}}) {
    const LeafErrors errors = errors_of_leaves(tiny, options_of("w4a16_g32", mode, keep_float));
    EXPECT_GE(errors.kl.size(), 40u);
    // The first cumulative leaves are nearly float again: small differences of what everything quantized
    // does.
    const double bound = mode == Mode::requantize_cumulative ? 1e-3 : 1e-4;
    EXPECT_TRUE(quantile(errors.logits, 1) <= bound);
    EXPECT_TRUE(quantile(errors.kl, 1) <= bound);
  }
}

// Rounding decisions of activations cascade when everything is quantized: a sum in another order moves the
// result.
TEST(ModesSlow, LeavesWithQuantizedActivationsAreCloseToTheVariantsAlone) {
  const TinyRun tiny(kTwoSamples);
  for (const auto& [format, mode] : {std::pair{"w8a8", Mode::leave_one_out},
                                     {"w8a8_dynamic", Mode::requantize_cumulative},
                                     {"nvfp4", Mode::requantize_cumulative}}) {
    const LeafErrors errors = errors_of_leaves(tiny, options_of(format, mode));
    EXPECT_TRUE(median(errors.logits) <= 0.05);
    EXPECT_TRUE(quantile(errors.logits, 1) <= 0.25);
  }
}

// Deltas of leaves in bf16 against those in f32: they move rounding decisions of the parent's activations.
TEST(ModesSlow, FastAgreesWithStrict) {
  const TinyRun tiny(kTwoSamples);
  for (const Mode mode : {Mode::leave_one_out, Mode::requantize_cumulative}) {
    sweep::ScoreOptions options = options_of("w8a8_dynamic", mode);
    const auto fast = tiny.score(options).run;
    options.strict = true;
    const auto strict = tiny.score(options).run;
    const auto error = [](const scores::Measurement& a, const scores::Measurement& b) {
      return std::abs(a.total->all.logits_sse / b.total->all.logits_sse - 1);
    };
    EXPECT_TRUE(error(fast.baselines.front(), strict.baselines.front()) <= 1e-3);
    std::vector<double> errors;
    for (size_t i = 0; i < fast.scores.size(); ++i) errors.push_back(error(fast.scores[i], strict.scores[i]));
    std::printf("%s, fast against strict: median %.2g, worst %.2g\n", std::string(name(mode)).c_str(),
                median(errors), quantile(errors, 1));
    // Cumulative scores are always strict: bf16 would leave nothing of those that are nearly float again.
    EXPECT_TRUE(median(errors) <= (mode == Mode::leave_one_out ? 0.05 : 0));
    EXPECT_TRUE(quantile(errors, 0.9) <= (mode == Mode::leave_one_out ? 0.25 : 0));
  }
}

// With everything in float to begin with, re-quantizing one op is quantizing it alone.
TEST(Modes, RequantizeOfEverythingIsIsolated) {
  const TinyRun tiny(kTwoSamples);
  const auto isolated = tiny.score(options_of("w8a8", Mode::isolated)).run;
  const auto requantize = tiny.score(options_of("w8a8", Mode::requantize)).run;
  ASSERT_EQ(isolated.scores.size(), requantize.scores.size());
  for (size_t i = 0; i < isolated.scores.size(); ++i) {
    EXPECT_EQ(isolated.scores[i].total->all.kl, requantize.scores[i].total->all.kl);
    EXPECT_EQ(requantize.scores[i].mode, Mode::requantize);
  }
}

TEST(Modes, TheLastCumulativeScoreIsThatOfEverything) {
  const TinyRun tiny({"eval-005"});
  const auto run = tiny.score(options_of("w8a8", Mode::requantize_cumulative)).run;
  EXPECT_EQ(run.scores.back().total->all.kl, run.baselines.front().total->all.kl);
  EXPECT_GT(run.scores.back().total->all.kl, run.scores[33].total->all.kl);
}

TEST(Modes, LeaveOneOutRanksTheSmallestRemainingErrorFirst) {
  const TinyRun tiny({"eval-000", "eval-005"});
  const auto run = tiny.score(options_of("w4a8", Mode::leave_one_out)).run;
  const scores::ScoreRecord* first = nullptr;
  double smallest = INFINITY;
  for (const scores::ScoreRecord& score : run.scores) {
    smallest = std::min(smallest, score.total->all.kl);
    if (score.rank == 1) first = &score;
  }
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->total->all.kl, smallest);
}

TEST(Modes, OpsOutsideTheFloatSetAreSkipped) {
  const TinyRun tiny({"eval-005"});
  const auto run = tiny.score(options_of("w8a8", Mode::requantize, "*.mlp.*")).run;
  for (const scores::ScoreRecord& score : run.scores) {
    const scores::OpRecord& op = run.ops[static_cast<size_t>(score.op)];
    if (op.tower != "language") continue;
    const bool member = op.name.find(".mlp.") != std::string::npos;
    EXPECT_EQ(score.status, member ? scores::Status::ok : scores::Status::skipped);
  }
  EXPECT_EQ(run.baselines.size(), 2u);
}

// all:f quantizes every op whatever --ops says; what it cannot quantize is listed.
TEST(Modes, UncalibratedOpsOfABaselineStayFloatAndAreListed) {
  TinyRun tiny({"eval-000"});
  std::erase_if(tiny.calibration, [](const models::Sample& s) { return !s.images.empty(); });
  sweep::ScoreOptions options = options_of("w8a8", Mode::isolated);
  options.ops_glob = "lm_head";
  const auto run = tiny.score(options).run;
  EXPECT_EQ(run.baselines.front().float_ops.size(), 33u);
  EXPECT_GT(run.baselines.front().total->all.kl, run.scores.back().total->all.kl);
}

}  // namespace
}  // namespace qsweep
