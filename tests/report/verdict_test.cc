#include "report/verdict.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/finalize.h"
#include "scores/synthetic.h"

namespace qsweep::report {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

Verdict verdict_of(scores::Run run) {
  scores::finalize(run, {}, 1);
  const auto groups = scores::group_scores(run);
  return verdict(make_ranking(run, groups.front()));
}

std::vector<std::string> texts_of(const scores::Run& run) {
  std::vector<std::string> texts;
  for (const auto& [topic, text] : verdict_of(run).parts) texts.push_back(topic + ": " + text);
  return texts;
}

// Twenty ops like the first, of which one has nearly all of the error.
scores::Run concentrated_run() {
  scores::Run run = scores::steady_run();
  const scores::OpRecord op = run.ops[3];
  run.ops.clear();
  run.scores.clear();
  for (int i = 0; i < 20; ++i) {
    run.ops.push_back(op);
    run.ops.back().name = "op." + std::to_string(i);
    run.scores.push_back(scores::make_score(i, std::vector<double>(3, i == 7 ? 80 : 0.5)));
  }
  return run;
}

TEST(Verdict, SaysHowMuchTheFormatChangesTheOutput) {
  // Each sample of 10 positions has one flip.
  const Verdict found = verdict_of(scores::steady_run());
  EXPECT_EQ(found.level, "much");
  EXPECT_THAT(found.parts.front().text,
              HasSubstr("Every op in `w8a8` changes the output clearly: at 10.0 % of 30 positions the most "
                        "likely next token is another one; kl:all is 2.00 ["));
  for (const auto& [flips, level] : {std::pair(0, "little"), {3, "breaks"}}) {
    scores::Run run = scores::steady_run();
    for (scores::ScopedSums& sums : run.baselines[0].per_sample) sums.all.top1_flips = flips;
    EXPECT_EQ(verdict_of(run).level, level);
  }
}

TEST(Verdict, TellsFewPlacesFromMany) {
  EXPECT_THAT(
      texts_of(scores::steady_run()),
      AllOf(Contains(AllOf(HasSubstr("Where: The damage is spread: 3 of 4 ops carry 90.0 % of the summed "
                                     "error"),
                           HasSubstr("`model.layers.0.self_attn.q_proj` (40.0 %)"))),
            Contains(HasSubstr("What to do: A few exceptions do not cure it"))));
  // Shares: 80 of 89.5.
  EXPECT_THAT(texts_of(concentrated_run()),
              AllOf(Contains(HasSubstr("few places: 1 of 20 ops carry 89.4 % of the summed error and hold "
                                       "5.00 % of the weights")),
                    Contains("What to do: Keep in higher precision first: `op.7` (89.4 %).")));
}

TEST(Verdict, SaysHowSureItIs) {
  EXPECT_THAT(
      texts_of(scores::steady_run()).back(),
      HasSubstr("How sure: Between random halves of the 3 samples the order agrees to 1.00 (1 is the same "
                "order): it can be used as a ranking."));
  scores::Run run = scores::steady_run();
  run.data.samples = 1;
  run.baselines.clear();
  for (auto& score : run.scores) score.per_sample.resize(1);
  const Verdict single = verdict_of(run);
  EXPECT_EQ(single.level, "unknown");
  EXPECT_THAT(single.parts.back().text, HasSubstr("Not known, for 1 sample cannot tell"));
}

TEST(Verdict, HasNoNumberWhereThereIsNone) {
  scores::Run run = scores::steady_run();
  for (auto& score : run.scores) score.status = scores::Status::unexercised;
  EXPECT_THAT(texts_of(run), Contains(HasSubstr("No op has a score in `w8a8`")));
  run = scores::steady_run();
  run.baselines[0].per_sample[0].all.kl = INFINITY;
  const Verdict broken = verdict_of(run);
  EXPECT_EQ(broken.level, "breaks");
  EXPECT_THAT(broken.parts.front().text, HasSubstr("the output is not finite"));
}

TEST(Verdict, EstimatesAreCalledSo) {
  scores::Run run = scores::steady_run();
  for (auto& score : run.scores) score.method = scores::Method::adjoint;
  EXPECT_THAT(texts_of(run).back(), HasSubstr("4 of the 4 scores are estimates"));
}

TEST(Verdict, HeadlineNamesTheLeastAndTheMost) {
  scores::Run run = scores::steady_run();
  scores::finalize(run, {}, 1);
  EXPECT_EQ(headline(run), "");
  run.baselines.push_back(run.baselines[0]);
  run.baselines[1].name = "all:nvfp4";
  run.baselines[1].per_sample = scores::make_score(0, {50, 50, 50}).per_sample;
  run.baselines[0].format = "w8a8";
  run.baselines[1].format = "nvfp4";
  scores::finalize(run, {}, 1);
  EXPECT_THAT(headline(run), AllOf(HasSubstr("`w8a8` changes the output least (kl:all is 2.00 ["),
                                   HasSubstr("`nvfp4` most (kl:all is 5.00 ["), Not(HasSubstr("nan"))));
}

TEST(Verdict, NothingIsKeptForNothing) {
  scores::Run run = concentrated_run();
  for (scores::ScopedSums& sums : run.baselines[0].per_sample) sums.all.top1_flips = 0;
  EXPECT_THAT(texts_of(run),
              Contains("What to do: Nothing has to be kept on such data; first would be: `op.7` "
                       "(89.4 %)."));
}

TEST(Verdict, OfLeaveOneOutIsWhatReturnsToFloat) {
  scores::Run run = scores::steady_run();
  for (auto& score : run.scores) score.mode = scores::Mode::leave_one_out;
  EXPECT_THAT(texts_of(run), AllOf(Contains(HasSubstr("Where: The most sensitive ops: ")),
                                   Contains(HasSubstr("What to do: Keep these in higher precision first"))));
}

TEST(Verdict, StandsInTheReportAsOnThePage) {
  scores::Run run = scores::steady_run();
  scores::finalize(run, {}, 1);
  const std::string section = verdict_section(run);
  EXPECT_THAT(section,
              AllOf(HasSubstr("## Verdict\n\n`w8a8`, isolated, exact: changes the output clearly.\n\n"),
                    HasSubstr("- **How sure**: ")));
  for (const auto& [topic, text] : verdict_of(run).parts) EXPECT_THAT(section, HasSubstr(text)) << topic;
  run.scores.clear();
  EXPECT_EQ(verdict_section(run), "");
}

}  // namespace
}  // namespace qsweep::report
