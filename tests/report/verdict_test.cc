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
  EXPECT_THAT(found.sentences.front(),
              HasSubstr("Every op in `w8a8` changes the output clearly: at 10.0 % of 30 positions the most "
                        "likely next token is another one; kl:all is 2.00 ["));
  for (const auto& [flips, level] : {std::pair(0, "little"), {3, "breaks"}}) {
    scores::Run run = scores::steady_run();
    for (scores::ScopedSums& sums : run.baselines[0].per_sample) sums.all.top1_flips = flips;
    EXPECT_EQ(verdict_of(run).level, level);
  }
}

TEST(Verdict, TellsFewPlacesFromMany) {
  EXPECT_THAT(verdict_of(scores::steady_run()).sentences,
              Contains(AllOf(HasSubstr("The damage is spread: it takes 3 of 4 ops to make up 90.0 % of the "
                                       "summed error"),
                             HasSubstr("`model.layers.0.self_attn.q_proj` (40.0 %)"))));
  // Shares: 80 of 89.5.
  EXPECT_THAT(verdict_of(concentrated_run()).sentences,
              Contains(AllOf(HasSubstr("few places: 1 of 20 ops carry 89.4 % of the summed error and hold "
                                       "5.00 % of the weights"),
                             HasSubstr("Keep in higher precision first: `op.7` (89.4 %)."))));
}

TEST(Verdict, SaysHowSureItIs) {
  EXPECT_THAT(verdict_of(scores::steady_run()).sentences.back(),
              HasSubstr("between random halves of the 3 samples the order agrees to 1.00 (1 is the same "
                        "order): it can be used as a ranking."));
  scores::Run run = scores::steady_run();
  run.data.samples = 1;
  run.baselines.clear();
  for (auto& score : run.scores) score.per_sample.resize(1);
  const Verdict single = verdict_of(run);
  EXPECT_EQ(single.level, "unknown");
  EXPECT_THAT(single.sentences.back(), HasSubstr("not known, for 1 sample cannot tell"));
}

TEST(Verdict, HasNoNumberWhereThereIsNone) {
  scores::Run run = scores::steady_run();
  for (auto& score : run.scores) score.status = scores::Status::unexercised;
  EXPECT_THAT(verdict_of(run).sentences, Contains(HasSubstr("No op has a score in `w8a8`")));
  run = scores::steady_run();
  run.baselines[0].per_sample[0].all.kl = INFINITY;
  const Verdict broken = verdict_of(run);
  EXPECT_EQ(broken.level, "breaks");
  EXPECT_THAT(broken.sentences.front(), HasSubstr("the output is not finite"));
}

TEST(Verdict, EstimatesAreCalledSo) {
  scores::Run run = scores::steady_run();
  for (auto& score : run.scores) score.method = scores::Method::adjoint;
  EXPECT_THAT(verdict_of(run).sentences.back(), HasSubstr("4 of the 4 scores are estimates"));
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

}  // namespace
}  // namespace qsweep::report
