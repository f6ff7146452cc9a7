#include "report/report.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/text.h"
#include "report/verification.h"
#include "report/warnings.h"
#include "scores/files.h"
#include "scores/finalize.h"
#include "scores/synthetic.h"

namespace qsweep::report {
namespace {

using scores::Mode;
using scores::Status;
using ::testing::HasSubstr;
using ::testing::Not;

scores::Run finalized(scores::Run run) {
  scores::finalize(run, scores::parse_metric("kl"), 1);
  return run;
}

// Samples that agree on the order of the ops.
using scores::steady_run;

TEST(Text, ThreeSignificantDigits) {
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(0.0123456), "0.0123");
  EXPECT_EQ(number(9.996), "10.0");
  EXPECT_EQ(number(1234.5), "1230");
  EXPECT_EQ(number(-2.5), "-2.50");
  EXPECT_EQ(number(1.5e-7), "1.50e-7");
  EXPECT_EQ(number(2.5e6), "2.50e6");
  EXPECT_EQ(number(std::nan("")), "–");
  EXPECT_EQ(number(std::numeric_limits<double>::infinity()), "∞");
  EXPECT_EQ(percent(0.5), "50.0 %");
  EXPECT_EQ(seconds(600), "10.0 min");
  EXPECT_EQ(bytes(3 * 0x1p30), "3.00 GiB");
}

TEST(Text, CellsCannotBreakTheTable) {
  EXPECT_EQ(code("a|b`c\nd"), "`a\\|b'c d`");
  Table table({"Name", ">N"});
  table.row({"x", "1"});
  EXPECT_EQ(table.text(), "| Name | N |\n| --- | ---: |\n| x | 1 |\n\n");
}

TEST(Report, HoldsTheEssentialRows) {
  const scores::Run run = finalized(steady_run());
  const std::string text = markdown(run);
  EXPECT_THAT(text, HasSubstr("| Model | `tiny` (qwen2_5_vl), 1000 parameters, 4 ops |"));
  EXPECT_THAT(text, HasSubstr("| Data | `eval.jsonl`: 3 samples, 2 images; 30 tokens: 15 (50.0 %) answer, "
                              "6 (20.0 %) image placeholders, 9 (30.0 %) prompt |"));
  // Sums 6, 3, 12, 9 of 30; 30 positions each; the samples agree, so the interval has no width.
  EXPECT_THAT(
      text, HasSubstr("| 1 | `model.layers.0.self_attn.q_proj` | language | 0.400 [0.400, 0.400] | 40.0 % | "
                      "20.0 % | 20.0 | 3.00 |"));
  EXPECT_THAT(text, HasSubstr("| 4 | `visual.merger.mlp.0` | projector | 0.100 [0.100, 0.100] | 10.0 % |"));
  EXPECT_THAT(text, HasSubstr("The first 3 of 4 ops carry 90.0 % of the summed error."));
  EXPECT_THAT(text, HasSubstr("| language | 2 | 0.700 | 70.0 % | 35.0 % |"));
  EXPECT_THAT(text, HasSubstr("| vision / qkv | 1 | 0.200 | 20.0 % | 20.0 % |"));
  EXPECT_THAT(text, HasSubstr("| `all:w8a8` | all | 30 | 2.00 ["));
  EXPECT_THAT(text, HasSubstr("| `w8a8` | isolated | exact | 1.00 | yes |"));
  EXPECT_THAT(text, HasSubstr("## How to read this"));
  EXPECT_THAT(warnings(run), ::testing::ElementsAre(HasSubstr("The data has only 3 samples")));
  EXPECT_THAT(text, Not(HasSubstr("## Without a score")));
}

TEST(Report, RepeatsWhatTheUserWasToldOfTheInput) {
  auto run = steady_run();
  scores::finalize(run, scores::parse_metric("kl"), 1);
  run.provenance["input_warnings"] = {"a|b.jpg: a damaged image", 7, "c", "d", "e", "f", "g"};
  EXPECT_THAT(warnings(run),
              ::testing::IsSupersetOf({std::string("a\\|b.jpg: a damaged image."), std::string("e."),
                                       std::string("2 warnings more about the checkpoint and the data: "
                                                   "`provenance.input_warnings` in scores.json.")}));
  EXPECT_THAT(warnings(run), Not(::testing::Contains("f.")));
  run.provenance["input_warnings"] = "none";
  EXPECT_THAT(warnings(run), Not(::testing::Contains(HasSubstr("damaged"))));
}

TEST(Report, AddsKlWhereItIsNotTheRankingMetric) {
  auto run = steady_run();
  scores::finalize(run, scores::parse_metric("logits_sse"), 1);
  EXPECT_THAT(markdown(run),
              HasSubstr("| language | 1.60 [1.60, 1.60] | 40.0 % | 0.400 | 20.0 % | 20.0 | 3.00 |"));
}

TEST(Report, WarnsOfATextOnlyRun) {
  auto run = steady_run();
  run.data.images = 0;
  run.scores[0].status = run.scores[1].status = Status::unexercised;
  const std::string text = markdown(finalized(run));
  EXPECT_THAT(text,
              HasSubstr("No row of the data reached 2 ops: unexercised, without any score. The data has no "
                        "image; add samples with images"));
  EXPECT_THAT(text,
              HasSubstr("| `w8a8` | unexercised | 2 | `visual.blocks.0.attn.qkv`, `visual.merger.mlp.0` |"));
  EXPECT_THAT(text, Not(HasSubstr("| vision |")));
  auto again = run.scores[0];
  again.mode = Mode::requantize;
  run.scores.push_back(again);
  EXPECT_THAT(markdown(finalized(run)), HasSubstr("| unexercised | 2 |")) << "ops are counted, not scores";
  EXPECT_LT(text.find("## Warnings"), text.find("What was run")) << "warnings come first";
}

TEST(Report, WarnsOfASingleSample) {
  auto run = steady_run();
  run.data.samples = 1;
  run.baselines.clear();
  for (auto& score : run.scores) score.per_sample.resize(1);
  const std::string text = markdown(finalized(run));
  EXPECT_THAT(text, HasSubstr("single sample: no confidence interval and no reliability"));
  EXPECT_THAT(text, HasSubstr("| language | 0.400 | 40.0 % |"));
  EXPECT_THAT(text, Not(HasSubstr("## Reliability")));
}

TEST(Report, WarnsOfAnOrderThatIsNoRanking) {
  auto run = scores::make_run();
  run.scores = {scores::make_score(0, {1, 9, 1}), scores::make_score(1, {9, 1, 2}),
                scores::make_score(2, {3, 3, 9})};
  const std::string text = markdown(finalized(run));
  EXPECT_THAT(text, HasSubstr("must not be taken for a ranking"));
  EXPECT_THAT(text, HasSubstr("| **no** |"));
}

TEST(Report, WarnsOfOtherStatusesAndFlags) {
  auto run = steady_run();
  run.scores[0].status = Status::uncalibrated;
  run.scores[1].per_sample[0].all.kl = std::nan("");
  run.scores[2].method = run.scores[3].method = scores::Method::adjoint;
  run.scores[2].flags = {"nonlinear"};
  const std::string text = markdown(finalized(run));
  EXPECT_THAT(text, HasSubstr("1 op had no calibration row"));
  EXPECT_THAT(text, HasSubstr("1 op overflowed or became NaN"));
  EXPECT_THAT(text, HasSubstr("2 scores and the intervals that go with them are estimates"));
  EXPECT_THAT(text, HasSubstr("1 estimate flagged `nonlinear`"));
  EXPECT_THAT(text, HasSubstr("| `w8a8` | non_finite | 1 | `visual.merger.mlp.0` |"));
}

TEST(Report, WarnsOfEstimatesThatMissFlips) {
  auto run = steady_run();
  for (auto& score : run.scores) score.method = scores::Method::adjoint;
  run.baselines.front().flipped_rows = 0.125;
  EXPECT_THAT(markdown(finalized(run)),
              HasSubstr("4 estimates flagged `flips`: with everything quantized, so many rows go to other "
                        "experts than in the float model (`flipped_rows` of the baselines: up to 12.5 %)"));
  run.baselines.front().flipped_rows = 0;
  for (auto& score : run.scores) score.flags.clear();
  EXPECT_THAT(markdown(finalized(run)), Not(HasSubstr("`flips`")));
}

TEST(Report, WarnsOfAnAnswerMetricWithoutAnswers) {
  auto run = steady_run();
  run.data.answer_tokens = 0;
  for (auto& score : run.scores)
    for (auto& sample : score.per_sample) sample.answer = {};
  scores::finalize(run, scores::parse_metric("kl:answer"), 1);
  EXPECT_THAT(markdown(run), HasSubstr("the data has no answer token"));
  scores::finalize(run, scores::parse_metric("kl:all"), 1);
  EXPECT_THAT(markdown(run), HasSubstr("The data has no answer token"));
  EXPECT_THAT(markdown(steady_run()), Not(HasSubstr("no answer token")));
}

TEST(Report, LeaveOneOutShowsWhatAnOpTakesOff) {
  auto run = steady_run();
  for (auto& score : run.scores) score.mode = Mode::leave_one_out;
  const std::string text = markdown(finalized(run));
  // all:w8a8 has 60; leaving the merger out leaves 3.
  EXPECT_THAT(text, HasSubstr("Taken off all:w8a8"));
  EXPECT_THAT(text, HasSubstr("| 1 | `visual.merger.mlp.0` | projector | 0.100 [0.100, 0.100] | 95.0 % |"));
  EXPECT_THAT(text, Not(HasSubstr("summed error."))) << "remaining errors do not add up to anything";
}

TEST(Report, ExplainsFromWhatTheNumbersSay) {
  auto run = steady_run();
  run.scores[2].local->input_max = 100;   // 100 times the rms; the median op has 3
  run.scores[3].local->error_sse = 0.01;  // 1 % instead of 10 %, yet rank 2
  run.scores[0].local->error_sse = 25;    // 50 %
  const std::string text = markdown(finalized(run));
  EXPECT_THAT(
      text,
      HasSubstr("1. `model.layers.0.self_attn.q_proj`: Its own output is off by no more than usual, 10.0 "
                "% (median op: 10.0 %). The largest input is 100 times the input's rms (median op: 3.00)"));
  EXPECT_THAT(
      text,
      HasSubstr("2. `model.layers.0.mlp.down_proj`: Its own output is off by no more than usual, 1.00 % "
                "(median op: 10.0 %). An error here weighs more than elsewhere"));
  EXPECT_THAT(
      text,
      HasSubstr("3. `visual.blocks.0.attn.qkv`: Its own output is off by 50.0 % (median op: 10.0 %): the "
                "format fits it worse than most."));
  EXPECT_THAT(
      text, HasSubstr("4. `visual.merger.mlp.0`: Its own output is off by no more than usual, 10.0 % (median "
                      "op: 10.0 %). Nothing measured at the op stands out."));
}

TEST(Report, BlamesNoActivationRangeOnWeightOnlyFormats) {
  auto run = steady_run();
  for (auto& score : run.scores) score.format = "w4a16_g32";
  run.scores[2].local->input_max = 100;
  EXPECT_THAT(markdown(finalized(run)), Not(HasSubstr("The largest input is")));
}

TEST(Report, MarksSpreadScores) {
  auto run = steady_run();
  run.scores[0].status = Status::spread;
  run.scores[0].spread_from = run.ops[2].name;
  const std::string text = markdown(finalized(run));
  EXPECT_THAT(text,
              HasSubstr("| `visual.blocks.0.attn.qkv`, spread from `model.layers.0.self_attn.q_proj` |"));
  EXPECT_THAT(text, HasSubstr("1 of 4 scores is not measured:"));
  EXPECT_THAT(text,
              HasSubstr("Not measured itself: its score is that of `model.layers.0.self_attn.q_proj`."));
}

TEST(Report, SaysHowFarVerifiedScoresAreOff) {
  auto run = steady_run();
  run.verification = {{.op = 2, .format = "w8a8", .top = true, .score = 12, .strict = 10},
                      {.op = 0, .format = "w8a8", .score = 6, .strict = 8},
                      {.op = 3, .format = "w8a8", .score = 0, .strict = 0},
                      {.op = 1, .format = "w8a8", .score = 3, .strict = std::nan("")}};
  EXPECT_EQ(verification_line(run),
            "4 scores measured again, exactly and with f32 deltas: median deviation 20.0 %, worst -25.0 % "
            "(visual.blocks.0.attn.qkv, w8a8)");
  const std::string text = markdown(finalized(run));
  EXPECT_THAT(text, HasSubstr("(visual.blocks.0.attn.qkv, w8a8). They are from rounding deltas to bf16."));
  EXPECT_THAT(
      text,
      HasSubstr("| `model.layers.0.self_attn.q_proj` | `w8a8` | top | exact | 0.400 | 0.333 | 20.0 % |\n"
                "| `visual.blocks.0.attn.qkv` | `w8a8` | random | exact | 0.200 | 0.267 | -25.0 % |\n"
                "| `model.layers.0.mlp.down_proj` | `w8a8` | random | exact | 0 | 0 | 0 % |\n"
                "| `visual.merger.mlp.0` | `w8a8` | random | exact | 0.100 | – | – |\n"));
  run.verification = {
      {.op = 0, .format = "w8a8", .method = scores::Method::adjoint, .score = 1, .strict = 0}};
  EXPECT_EQ(verification_line(run),
            "1 score measured again, exactly and with f32 deltas: no deviation is known");
  EXPECT_THAT(markdown(finalized(run)), HasSubstr("Deviations of estimates are their errors"));
}

TEST(Report, TopTwentyAndACountOfTheRest) {
  auto run = scores::make_run();
  run.ops.resize(1);
  run.scores.clear();
  for (int i = 0; i < 25; ++i) {
    run.ops.push_back(run.ops[0]);
    run.ops.back().name = "op" + std::to_string(i);
    run.scores.push_back(scores::make_score(i + 1, {100.0 - i, 100.0 - i, 100.0 - i}));
  }
  const std::string text = markdown(finalized(run));
  EXPECT_THAT(text, HasSubstr("| 20 | `op19` |"));
  EXPECT_THAT(text, Not(HasSubstr("| 21 | `op20` |")));
  EXPECT_THAT(text, HasSubstr("5 more in `scores.csv`."));
}

TEST(Report, ShowsProvenanceAndForgivesWhatIsMissing) {
  auto run = steady_run();
  run.provenance = {{"version", "0.1.0"},
                    {"isa", "avx2"},
                    {"libraries", {{"onednn", "3.0"}}},
                    {"wall_s", 300},
                    {"peak_rss_bytes", 0x1p31},
                    {"phases_s", {{"calibrate", 30}, {"sweep", 250}}}};
  const std::string text = markdown(finalized(run));
  EXPECT_THAT(text, HasSubstr("| Libraries | onednn 3.0 |"));
  EXPECT_THAT(text, HasSubstr("| Wall time | 5.00 min |"));
  EXPECT_THAT(text, HasSubstr("| Peak memory | 2.00 GiB |"));
  EXPECT_THAT(text, HasSubstr("## Where the time went"));

  run.provenance = {{"wall_s", "soon"}, {"gemm", 3}, {"phases_s", {1, 2}}, {"libraries", nullptr}};
  EXPECT_THAT(markdown(finalized(run)), Not(HasSubstr("Wall time")));
  run.provenance = io::Json::object();
  EXPECT_NO_THROW(markdown(finalized(run)));
}

TEST(Report, AnEmptyRunSaysSo) { EXPECT_THAT(markdown(scores::Run{}), HasSubstr("No op has a score")); }

TEST(Report, FromFolderRewritesReportAndTable) {
  const scores::TemporaryFolder folder;
  const auto run = finalized(steady_run());
  scores::write_scores(run, folder.path());
  const std::string json = folder.read("scores.json"), csv = folder.read("scores.csv");
  folder.write("scores.csv", "old");
  from_folder(folder.path());
  EXPECT_EQ(folder.read("report.md"), markdown(run));
  EXPECT_EQ(folder.read("scores.csv"), csv);
  EXPECT_EQ(folder.read("scores.json"), json);

  folder.write("scores.json", "{}");
  folder.write("report.md", "old");
  EXPECT_THROW(from_folder(folder.path()), Error);
  EXPECT_EQ(folder.read("report.md"), "old");
}

}  // namespace
}  // namespace qsweep::report
