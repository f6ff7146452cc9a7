#include "report/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/synthetic.h"

namespace qsweep::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Four ops, of which the other side scored the last two as one, and the first two alike; a name of its own.
compare::Agreement agreement() {
  const auto ops = scores::make_run().ops;
  compare::Ranking run, other;
  run.source = "RUNS/a";
  run.what = "w8a8, isolated, exact, kl:all";
  for (size_t i = 0; i < ops.size(); ++i)
    run.entries.push_back({ops[i].name, {ops[i].name}, 1.0 + double(i)});
  other.source = "b|c.json";
  other.what = "ModelOpt gradient, INT8";
  other.notes = {"a note"};
  other.entries = {{ops[0].name, {ops[0].name}, 0},
                   {ops[1].name, {ops[1].name}, 0},
                   {"both", {ops[2].name, ops[3].name}, 0},
                   {"model.embed_tokens", {"model.embed_tokens"}, 9}};
  return compare::compare(ops, run, other);
}

TEST(Comparison, SaysWhatCannotBeToldApart) {
  const std::string text = comparison_markdown({agreement()});
  EXPECT_THAT(text, HasSubstr("| OTHER | `b\\|c.json` | ModelOpt gradient, INT8 |"));
  EXPECT_THAT(text, HasSubstr("- OTHER: a note.\n"));
  EXPECT_THAT(
      text, HasSubstr("- 1 score of OTHER is of several ops together: the run's scores of these are added."));
  EXPECT_THAT(text, HasSubstr("- 1 of OTHER's 1 vision ops has a score, 0, that others have too."));
  EXPECT_THAT(text, HasSubstr("| all that both sides score | 3 | – | – |"));
  EXPECT_THAT(text, HasSubstr("| those that both sides tell apart | 0 | – | – |"));
  EXPECT_THAT(text, HasSubstr("| `both` (2 ops) | 1 | 2 | 7.00 | 0 |"));
  EXPECT_THAT(text, HasSubstr("- Only in OTHER, 1 op: `model.embed_tokens`\n"));
  EXPECT_THAT(text, Not(HasSubstr("nan")));
  EXPECT_THAT(text, Not(HasSubstr("Only in RUN")));
}

TEST(Comparison, AWholeTowerWithOneScoreHasNoRanking) {
  auto a = agreement();
  a.indistinct = {{false, "vision", 0, 33, 33}};
  EXPECT_THAT(
      comparison_notes(a),
      ::testing::Contains("All 33 of OTHER's vision ops have the same score 0: it has no ranking there."));
}

TEST(Comparison, FilesAreWritten) {
  const scores::TemporaryFolder folder;
  write_comparison({agreement()}, folder.path());
  EXPECT_EQ(folder.read("compare.md"), comparison_markdown({agreement()}));
  const io::Json json = io::parse_json(folder.read("compare.json"), "t");
  EXPECT_EQ(json["schema"], "qsweep.compare/1");
  EXPECT_EQ(json["ops"].size(), 3u);
  EXPECT_EQ(json["ops"][2]["name"], "both");
  EXPECT_EQ(json["ops"][2]["run_score"], 7);
  EXPECT_EQ(json["outliers"], io::Json({"visual.blocks.0.attn.qkv", "both"})) << "one rank apart each";
  EXPECT_EQ(json["all"]["matched"], 3);
  EXPECT_TRUE(json["all"]["kendall"].is_null());
  EXPECT_EQ(json["other"]["most_sensitive"], "largest");
  EXPECT_EQ(json["indistinct"][0]["side"], "other");
}

TEST(Comparison, SeveralFormatsFollowEachOther) {
  auto second = agreement();
  second.run.what = "nvfp4, isolated, exact, kl:all";
  const std::string text = comparison_markdown({agreement(), second});
  const size_t first = text.find("# `w8a8, isolated, exact, kl:all`"), next = text.find("# `nvfp4, isolated");
  ASSERT_NE(next, std::string::npos);
  EXPECT_LT(first, next);
  EXPECT_EQ(text.find("## How to read this"), text.rfind("## How to read this")) << "once";
  const scores::TemporaryFolder folder;
  write_comparison({agreement(), second}, folder.path());
  const io::Json json = io::parse_json(folder.read("compare.json"), "t");
  EXPECT_EQ(json["schema"], "qsweep.compare/1");
  ASSERT_EQ(json["comparisons"].size(), 2u);
  EXPECT_EQ(json["comparisons"][1]["run"]["what"], second.run.what);
  EXPECT_EQ(json["comparisons"][0]["ops"].size(), 3u);
}

TEST(Comparison, WarningsStandBeforeTheFigures) {
  auto a = agreement();
  a.warnings = {"RUN's scores are of w8a8, OTHER's of INT4|x"};
  const std::string text = comparison_markdown({a});
  EXPECT_THAT(text, HasSubstr("- **Warning**: RUN's scores are of w8a8, OTHER's of INT4\\|x.\n"));
  EXPECT_LT(text.find("**Warning**"), text.find("## Agreement"));
}

}  // namespace
}  // namespace qsweep::report
