// What the report says about the positions that scores are over, and about figures that mislead.
#include "report/scopes.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/report.h"
#include "report/warnings.h"
#include "scores/files.h"
#include "scores/finalize.h"
#include "scores/synthetic.h"

namespace qsweep::report {
namespace {

using scores::Metric;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// Four ops whose sums over all positions are 3, 6, 9 and 12 in the three samples together, and over the
// answers as given, in thirds.
scores::Run run_with_answers(const std::vector<double>& answers) {
  auto run = scores::make_run();
  run.scores.clear();
  for (int op = 0; op < 4; ++op) {
    run.scores.push_back(scores::make_score(op, {op + 1.0, op + 1.0, op + 1.0}));
    for (auto& sample : run.scores.back().per_sample) sample.answer.kl = answers[static_cast<size_t>(op)] / 3;
  }
  finalize(run, {}, 1);
  return run;
}

TEST(Scopes, AnswersInTheSameOrder) {
  const auto run = run_with_answers({1, 2, 3, 4});
  const auto all = scope_agreements(run);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].spearman, 1);
  EXPECT_EQ(all[0].k, 2);
  EXPECT_EQ(all[0].overlap, 2);
  EXPECT_EQ(all[0].other, scores::parse_metric("kl:answer"));
  EXPECT_TRUE(std::fabs(all[0].carried - 0.7) <= 1e-12 && std::fabs(all[0].own - 0.7) <= 1e-12);
  EXPECT_FALSE(all[0].disagrees());
  EXPECT_THAT(warnings(run), Not(Contains(HasSubstr("disagree"))));
  EXPECT_THAT(markdown(run),
              HasSubstr("| `w8a8` | isolated | exact | 4 | 1.00 | 2 of the first 2 | 70.0 % | 70.0 % |"));
}

// Ranks 4, 3, 2, 1 by all positions, 1, 2, 3, 4 by answers: the first two by all carry 3 of 10.
TEST(Scopes, AnswersInTheReverseOrderAreWarnedOf) {
  const auto run = run_with_answers({4, 3, 2, 1});
  const auto all = scope_agreements(run);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].spearman, -1);
  EXPECT_EQ(all[0].overlap, 0);
  EXPECT_THAT(
      warnings(run),
      Contains(
          "The rankings of `w8a8` (isolated, exact) by `kl:all` and by `kl:answer` disagree: Spearman -1.00 "
          "over 4 ops, 0 of the first 2 in common; the first 2 carry 30.0 % of the summed `kl:answer`, its "
          "own first 2 carry 70.0 %. `qsweep report RUN --metric kl:answer` ranks by the other."));
}

// Either of the two bounds alone.
TEST(Scopes, ABoundEach) {
  ScopeAgreement a{.spearman = 0.9, .k = 10, .overlap = 7};
  EXPECT_FALSE(a.disagrees());
  a.overlap = 6;
  EXPECT_TRUE(a.disagrees());
  a = {.spearman = 0.79, .k = 10, .overlap = 10};
  EXPECT_TRUE(a.disagrees());
}

TEST(Scopes, LeaveOneOutHasTheSmallestFirstAndNoShares) {
  auto run = run_with_answers({1, 2, 3, 40});
  for (auto& score : run.scores) score.mode = scores::Mode::leave_one_out;
  finalize(run, {}, 1);
  const auto all = scope_agreements(run);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].overlap, 2);
  EXPECT_TRUE(std::isnan(all[0].carried));
  EXPECT_THAT(markdown(run), HasSubstr("| 2 of the first 2 | – | – |"));
}

TEST(Scopes, NothingToSayWithoutAnswersOrWhereAllAreAnswers) {
  auto run = run_with_answers({4, 3, 2, 1});
  for (auto& score : run.scores)
    for (auto& sample : score.per_sample) sample.answer.positions = sample.all.positions;
  finalize(run, {}, 1);
  EXPECT_TRUE(scope_agreements(run).empty());
  for (auto& score : run.scores)
    for (auto& sample : score.per_sample) sample.answer = {};
  finalize(run, {}, 1);
  EXPECT_TRUE(scope_agreements(run).empty());
  for (auto& score : run.scores) {
    score.method = scores::Method::local;
    score.measured = scores::Measured::none();
    score.per_sample.resize(1);
  }
  finalize(run, {}, 1);
  EXPECT_TRUE(scope_agreements(run).empty());
}

TEST(Scopes, TheHeadSaysOverWhatTheScoresAre) {
  auto run = run_with_answers({1, 2, 3, 4});
  EXPECT_THAT(
      markdown(run),
      HasSubstr("`tiny`\n\n4 ops on 3 samples, 30 tokens: 15 (50.0 %) answer, 6 (20.0 %) image placeholders, "
                "9 (30.0 %) prompt. Ranked by `kl:all`, the mean over 30 positions in nats.\n\n"));
  finalize(run, scores::parse_metric("logits_sse:answer"), 1);
  EXPECT_THAT(markdown(run), HasSubstr("the mean over 15 answer positions in squared change of the logits."));
  run.data.image_tokens.reset();
  EXPECT_THAT(markdown(run), HasSubstr("30 tokens: 15 (50.0 %) answer.")) << "an older file does not know";
}

TEST(Scopes, DataThatIsMostlyImagesIsWarnedOf) {
  auto run = run_with_answers({1, 2, 3, 4});
  run.data.answer_tokens = 5;
  run.data.image_tokens = 15;
  EXPECT_THAT(warnings(run), Not(Contains(HasSubstr("image placeholders"))));
  run.data.image_tokens = 16;
  EXPECT_THAT(warnings(run),
              Contains(HasSubstr("53.3 % of the 30 tokens are image placeholders, whose prediction nobody "
                                 "reads: `kl:all` is mostly about them. Answers alone")));
  finalize(run, scores::parse_metric("kl:answer"), 1);
  EXPECT_THAT(warnings(run), Not(Contains(HasSubstr("image placeholders"))));
}

TEST(Perplexity, BelowOneIsNoGain) {
  auto run = run_with_answers({1, 2, 3, 4});
  EXPECT_THAT(markdown(run), Not(HasSubstr("is no gain")));
  // nll_delta 10/8, 20/8, 30/8 over 9 targets each: m = 7.5/27, t se = 4.303 sqrt(3/2 25/8) / 27 = 0.345.
  EXPECT_THAT(markdown(run), HasSubstr("| 1.32 [0.935, 1.86] |"));
  for (auto& sample : run.baselines[0].per_sample) sample.all.nll_delta *= -1;
  finalize(run, {}, 1);
  const std::string text = markdown(run);
  EXPECT_THAT(text, HasSubstr("| 0.757 [0.536, 1.07] |"));
  EXPECT_THAT(text, HasSubstr("A perplexity ratio below 1 is no gain: `all:w8a8` (all, 27 targets)."));
}

// Samples that differ alike for all ops but one: all share the root mean square but the one that is wider.
TEST(Intervals, OfOneCommonFactorAreCalledSo) {
  auto run = scores::make_run();
  run.scores = {scores::make_score(0, {1, 2, 3}), scores::make_score(1, {2, 4, 6}),
                scores::make_score(2, {1, 1, 9}), scores::make_score(3, {3, 6, 9})};
  finalize(run, {}, 1);
  EXPECT_THAT(markdown(run),
              HasSubstr("The intervals of 3 of 4 ops are the mean divided and multiplied by one common "
                        "factor, "));
  EXPECT_THAT(markdown(run), HasSubstr("for 3 samples cannot tell"));
  for (auto& score : run.scores) score.per_sample = scores::make_score(0, {2, 2, 2}).per_sample;
  finalize(run, {}, 1);
  EXPECT_THAT(markdown(run), Not(HasSubstr("common factor"))) << "no width at all";
}

// Every mention follows: ranks, headers, shares, kappa, the settings and the table.
TEST(Reranked, TheWholeReportFollows) {
  auto run = run_with_answers({4, 3, 2, 1});
  auto expected = run_with_answers({4, 3, 2, 1});
  finalize(expected, scores::parse_metric("kl:answer"), 1);
  rank_by(run, scores::parse_metric("kl:answer"));
  std::string text = markdown(run);
  const std::string said = " The ranks were found anew from `scores.json`; the run itself ranks by `kl:all`.";
  ASSERT_THAT(text, HasSubstr(said));
  text.erase(text.find(said), said.size());
  EXPECT_EQ(text, markdown(expected)) << "all else is as in a run that was ranked so";
  EXPECT_THAT(text, Not(HasSubstr("metric=kl:all")));
  EXPECT_THAT(text, HasSubstr("| 1 | `visual.blocks.0.attn.qkv` | vision | 0.267 ["));
}

TEST(Reranked, SaysWhatOnlyTheRunKnew) {
  auto run = run_with_answers({1, 2, 3, 4});
  run.scores[0].estimates = {{"coherence", 1.5}};
  run.verification = {{.op = 2, .format = "w8a8", .top = true, .score = 9, .strict = 9}};
  rank_by(run, scores::parse_metric("hidden_sse"));
  const std::string text = markdown(run);
  EXPECT_THAT(text, HasSubstr("How reliable this order is, the run does not know."));
  EXPECT_THAT(text, Not(HasSubstr("## Reliability")));
  EXPECT_THAT(text, HasSubstr("| Coherence, of kl:all |"));
  EXPECT_THAT(text, HasSubstr("| kl:all per position | Measured again |"))
      << "what was verified stays what it was";
  EXPECT_THAT(text, HasSubstr("| top | exact | 0.300 | 0.300 | 0 % |"));
}

TEST(Reranked, FromAFolderTheScoresStayAsTheyAre) {
  const scores::TemporaryFolder folder;
  const auto run = run_with_answers({4, 3, 2, 1});
  scores::write_scores(run, folder.path());
  const std::string json = folder.read("scores.json"), csv = folder.read("scores.csv");
  from_folder(folder.path(), scores::parse_metric("kl:answer"));
  EXPECT_EQ(folder.read("scores.json"), json);
  EXPECT_THAT(folder.read("scores.csv"), HasSubstr(",kl:answer,"));
  EXPECT_THAT(folder.read("scores.csv"), Not(HasSubstr(",kl:all,")));
  EXPECT_THAT(folder.read("report.md"), HasSubstr("Ranked by `kl:answer`"));
  const std::string report = folder.read("report.md");
  try {
    auto unmeasured = run;
    for (auto& score : unmeasured.scores)
      score.measured.remove({scores::Which::logits_sse, scores::Scope::all});
    finalize(unmeasured, {}, 1);
    scores::write_scores(unmeasured, folder.path());
    from_folder(folder.path(), scores::parse_metric("logits_sse"));
    ADD_FAILURE() << "ranked by what was not measured";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("--metric: expected a metric that the run has scores of (kl:all, "));
  }
  EXPECT_EQ(folder.read("report.md"), report);
  scores::write_scores(run, folder.path());
  from_folder(folder.path());
  EXPECT_EQ(folder.read("scores.csv"), csv) << "and back";
}

}  // namespace
}  // namespace qsweep::report
