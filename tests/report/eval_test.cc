#include "report/eval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/eval_synthetic.h"

namespace qsweep::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Measured 30, plain sum 18, kappa 60/33, so predicted 18 (1 + 27/33 18/33) = 26.0; over 30 positions each.
TEST(EvalReport, ShowsPredictedBesideMeasured) {
  const std::string text = eval_markdown(scores::make_eval());
  EXPECT_THAT(text, HasSubstr("# Recipes evaluated on `tiny`"));
  EXPECT_THAT(text, HasSubstr("| `mixed` | 6.50 | 2 | 2 `w8a8`, 2 float | 1.00 [0.2"));
  EXPECT_THAT(text, HasSubstr("| 0.250 | 10.0 % | 1.15 [0.967, 1.37] | 0.868 | 0.600 | 1.15 |\n")) << text;
  // Answers: half the sums over half the positions.
  for (const char* metric : {"kl:answer", "hidden_sse:all", "logits_sse:answer", "hidden_sse:answer"})
    EXPECT_THAT(text, HasSubstr(fmt::format("| `mixed` | `{}` |", metric)));
  EXPECT_THAT(text, HasSubstr("| `mixed` | `kl:answer` | 1.00 ["));
  EXPECT_THAT(text, HasSubstr("| `mixed` | `logits_sse:all` | 4.00 [1.16, 13.9] | 3.47 | 2.40 | 1.15 |"));
  EXPECT_THAT(text, HasSubstr("| Data | `eval.jsonl`: 3 samples, 2 images; 30 tokens: 15 (50.0 %) answer, "));
}

TEST(EvalReport, SaysWhatIsMissing) {
  const std::string text = eval_markdown(scores::make_eval());
  EXPECT_THAT(text, HasSubstr("- The prediction of `unscored` leaves out 1 op without a score: "
                              "`model.layers.0.mlp.down_proj` in `mxfp4`."));
  EXPECT_THAT(text, HasSubstr("- 1 op of `unscored` had no calibration row and stayed float: "
                              "`visual.merger.mlp.0`."));
  EXPECT_THAT(text,
              HasSubstr("- 1 op of `mixed` had no row of the data, so what quantizing does there is not "
                        "measured: `visual.blocks.0.attn.qkv`."));
  EXPECT_THAT(text, HasSubstr("- `broken` overflowed or became NaN: it is unusable."));
  EXPECT_THAT(text, HasSubstr("| `broken` | 6.50 | 1 | 1 `w8a8`, 3 float | – | – | – | – | – | – | – |"));
  EXPECT_THAT(text, Not(HasSubstr("nan")));
  EXPECT_THAT(text, Not(HasSubstr("another number of positions")));
}

TEST(EvalReport, WithoutScoresThereIsNothingPredicted) {
  auto run = scores::make_eval();
  for (auto& recipe : run.recipes) recipe.predicted.clear();
  const std::string text = eval_markdown(run);
  EXPECT_THAT(text, Not(HasSubstr("KL predicted")));
  EXPECT_THAT(text, Not(HasSubstr("## Predicted and measured")));
}

TEST(EvalReport, SaysWhereTheScoresAreFromOtherData) {
  auto run = scores::make_eval();
  for (auto& p : run.recipes[0].predicted) p.positions *= 2;
  const std::string text = eval_markdown(run);
  EXPECT_THAT(text, HasSubstr("another number of positions"));
  EXPECT_THAT(text, HasSubstr("| 0.434 | 0.300 | 2.30 |\n")) << "means per position are compared";
}

TEST(EvalReport, APerplexityBelowOneIsNoGain) {
  auto run = scores::make_eval();
  EXPECT_THAT(eval_markdown(run), Not(HasSubstr("is no gain")));
  run.recipes[0].total->answer.nll_delta = -0.1;
  EXPECT_THAT(
      eval_markdown(run),
      HasSubstr("A perplexity ratio below 1 is no gain: `mixed` (answer, 15 targets). The log-likelihood"));
}

TEST(EvalReport, IsWritten) {
  const scores::TemporaryFolder folder;
  write_eval_report(scores::make_eval(), folder.path());
  EXPECT_EQ(folder.read("eval.md"), eval_markdown(scores::make_eval()));
}

}  // namespace
}  // namespace qsweep::report
