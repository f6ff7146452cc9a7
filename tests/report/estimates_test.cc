// How the report shows what was estimated, not measured, or stayed float.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/report.h"
#include "report/warnings.h"
#include "scores/finalize.h"
#include "scores/synthetic.h"

namespace qsweep::report {
namespace {

using scores::Method;
using scores::Mode;
using ::testing::HasSubstr;
using ::testing::Not;

using scores::steady_run;

std::string report_of(scores::Run run, const std::string& metric = "kl") {
  scores::finalize(run, scores::parse_metric(metric), 1);
  const std::string text = markdown(run);
  EXPECT_THAT(text, Not(HasSubstr("nan")));
  return text;
}

void estimate(scores::ScoreRecord& score) {
  score.method = Method::adjoint;
  score.measured = scores::Measured::none();
  score.measured.add({});
}

// all:w8a8 has 60, the ops 6 + 3 + 12 + 9 = 30, over 30 positions.
TEST(Estimates, BaselinesShowHowErrorsAddUp) {
  auto run = steady_run();
  run.baselines[0].float_ops = {run.ops[0].name};
  const std::string text = report_of(run);
  EXPECT_THAT(text, HasSubstr("| Variant | kl:all per position, measured | Sum of single ops | kappa |"));
  EXPECT_THAT(text, HasSubstr("| `all:w8a8` | 2.00 | 1.00 | 2.00 |"));
  EXPECT_THAT(text, HasSubstr("`all:w8a8` leaves 1 op float, for want of a calibration row: "
                              "`visual.blocks.0.attn.qkv`."));
  EXPECT_THAT(text, HasSubstr("- `all:w8a8` is not everything: 1 op had no calibration row"));
  run.scores.pop_back();
  EXPECT_THAT(report_of(run), HasSubstr("| `all:w8a8` | 2.00 | 0.700 | – |"));
}

TEST(Estimates, ABaselineThatIsNotFinite) {
  auto run = steady_run();
  run.baselines[0].per_sample[0].all.kl = std::numeric_limits<double>::infinity();
  const std::string text = report_of(run);
  EXPECT_THAT(text, HasSubstr("- `all:w8a8` overflowed or became NaN"));
  EXPECT_THAT(text, HasSubstr("| `all:w8a8` | not finite |"));
}

TEST(Estimates, ShowCoherenceAndOnlyWhatIsKnown) {
  auto run = steady_run();
  for (auto& score : run.scores) estimate(score);
  run.scores[2].estimates = {{"coherence", 1.25}};
  run.scores[2].flags = {"nonlinear"};
  const std::string text = report_of(run);
  EXPECT_THAT(text,
              HasSubstr("### `w8a8`, isolated, adjoint\n\nOne op is quantized, everything else is float"));
  EXPECT_THAT(text, HasSubstr("The errors are estimated, so approximate"));
  EXPECT_THAT(
      text, HasSubstr("| Rank | Op | Tower | kl:all per position, nats [95 %] | Share | Coherence | Local"));
  EXPECT_THAT(text, HasSubstr("| language | 0.400 [0.400, 0.400] | 40.0 % | 1.25 | 20.0 | 3.00 |"));
  EXPECT_THAT(text, HasSubstr("| language | 0.300 [0.300, 0.300] | 30.0 % | – | 20.0 | 3.00 |"));
  EXPECT_THAT(text, HasSubstr("Flagged `nonlinear`, an effect too large for an estimate to tell its size: "
                              "`model.layers.0.self_attn.q_proj`."));
}

TEST(Estimates, WithoutTheRankingMetricThereIsNoRanking) {
  auto run = steady_run();
  for (auto& score : run.scores) estimate(score);
  const std::string text = report_of(run, "logits_sse");
  EXPECT_THAT(text, Not(HasSubstr("### `w8a8`")));
  EXPECT_THAT(text,
              HasSubstr("- 4 scores without a rank, because `logits_sse:all` was not among the metrics"));
}

TEST(Estimates, LocalScoresShowTheErrorAtTheOp) {
  auto run = steady_run();
  for (auto& score : run.scores) {
    score.method = Method::local;
    score.measured = scores::Measured::none();
    score.per_sample.resize(1);
  }
  run.scores[1].local->error_sse = 4;
  const std::string text = report_of(run);
  EXPECT_THAT(text, HasSubstr("| Rank | Op | Tower | Relative error at the op | Local SQNR, dB |"));
  EXPECT_THAT(text, HasSubstr("| 1 | `visual.merger.mlp.0` | projector | 20.0 % | 14.0 | 3.00 |"));
  EXPECT_THAT(text, HasSubstr("- 4 scores by the method local"));
  EXPECT_THAT(text, HasSubstr("| Ranked by | relative error at the op |"));
  EXPECT_THAT(text, Not(HasSubstr("of the summed error"))) << "relative errors do not add up";
}

TEST(Estimates, AutoNamesTheMethodOfEachScore) {
  auto run = steady_run();
  estimate(run.scores[0]);
  run.joint_ranking = true;
  const std::string text = report_of(run);
  EXPECT_THAT(text, HasSubstr("### `w8a8`, isolated, auto\n"));
  EXPECT_THAT(text, HasSubstr("| 3 | `visual.blocks.0.attn.qkv` | vision | adjoint | 0.200 "));
  EXPECT_THAT(text, HasSubstr("| 1 | `model.layers.0.self_attn.q_proj` | language | exact | 0.400 "));
  EXPECT_THAT(text, HasSubstr("| `w8a8` | isolated | auto | 1.00 | yes |"));
}

TEST(Estimates, EveryModeSaysWhatItsRankMeans) {
  const std::pair<Mode, const char*> modes[] = {
      {Mode::leave_one_out, "the smallest remaining error marks the most sensitive op"},
      {Mode::requantize, "one at a time is quantized again"},
      {Mode::requantize_cumulative, "one after the other in model order"}};
  for (const auto& [mode, text] : modes) {
    auto run = steady_run();
    for (auto& score : run.scores) score.mode = mode;
    EXPECT_THAT(report_of(run), HasSubstr(text));
  }
}

}  // namespace
}  // namespace qsweep::report
