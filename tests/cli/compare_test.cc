// qsweep compare: a run against other runs and other tools' results.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program.h"
#include "scores/files.h"
#include "scores/finalize.h"
#include "scores/synthetic.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Compare : public ::testing::Test {
 protected:
  // A run with w8a8 and nvfp4 scores of four ops, and the other tool's file.
  void SetUp() override {
    run = place.at("run");
    std::filesystem::create_directory(run);
    auto scores = scores::make_run();
    for (int op = 0; op < 4; ++op) {
      scores.scores.push_back(scores.scores[static_cast<size_t>(op)]);
      scores.scores.back().format = "nvfp4";
    }
    finalize(scores, {}, 1);
    scores::write_scores(scores, run);
    map = place.write("map.json", R"({"model.visual.blocks.0.attn.qkv.module": 1, "visual.merger.mlp.0": 0,
      "model.language_model.layers.0.self_attn.q_proj": 3, "model.embed_tokens": 4})");
    before = files_in(run);
  }

  void expect_refused(const Arguments& arguments, const std::string& words) const {
    const Outcome outcome = run_qsweep(arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, AllOf(StartsWith("error: "), HasSubstr(words)));
    EXPECT_EQ(files_in(run), before);
  }

  const Workplace place;
  std::string run, map;
  std::map<std::string, std::string> before;
};

TEST_F(Compare, WritesTheAgreementIntoTheRun) {
  const Outcome outcome = run_qsweep({"compare", run, map, "--format", "w8a8"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("w8a8, isolated, exact, kl:all"), HasSubstr("a map of scores"),
                                 HasSubstr("the largest score is taken as the most sensitive op"),
                                 HasSubstr("3 matched, 1 only in RUN, 1 only in OTHER, 0 without a score"),
                                 HasSubstr("Spearman 0, Kendall 0"), HasSubstr("/compare.json")));
  const io::Json json = io::read_json_file(run + "/compare.json");
  EXPECT_EQ(json["schema"], "qsweep.compare/1");
  EXPECT_EQ(json["only_in_run"], io::Json({"model.layers.0.mlp.down_proj"}));
  EXPECT_THAT(read_text(run + "/compare.md"), HasSubstr("# Agreement of two rankings"));
  for (const auto& [name, content] : before) EXPECT_EQ(files_in(run)[name], content) << name;
}

TEST_F(Compare, ARunWithItself) {
  const std::string out = place.at("out/deep");
  const Outcome outcome =
      run_qsweep({"compare", run + "/scores.json", run, "--format", "w8a8", "--other-format", "nvfp4",
                  "--metric", "logits_sse:answer", "--out", out});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("w8a8, isolated, exact, logits_sse:answer"),
                                 HasSubstr("nvfp4, isolated, exact, logits_sse:answer"),
                                 HasSubstr("Spearman 1.00, Kendall 1.00")));
  EXPECT_EQ(files_in(out).size(), 3u);
  EXPECT_EQ(files_in(run), before);
}

TEST_F(Compare, TheDirectionCanBeTurned) {
  run_qsweep({"compare", run, map, "--format", "w8a8", "--out", place.at("up")});
  run_qsweep(
      {"compare", run, map, "--format", "w8a8", "--other-mode", "leave-one-out", "--out", place.at("down")});
  const double up = io::read_json_file(place.at("up/compare.json"))["ops"][1]["other_rank"];
  const double down = io::read_json_file(place.at("down/compare.json"))["ops"][1]["other_rank"];
  EXPECT_EQ(up, 3) << "the merger has the smallest score";
  EXPECT_EQ(down, 1);
  EXPECT_EQ(io::read_json_file(place.at("down/compare.json"))["other"]["most_sensitive"], "smallest");
}

TEST_F(Compare, EveryFormatIsComparedWhereNoneIsChosen) {
  const Outcome outcome = run_qsweep({"compare", run, map, "--out", place.at("each")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("w8a8, isolated, exact, kl:all"), HasSubstr("nvfp4, isolated, exact, kl:all")));
  const io::Json each = io::read_json_file(place.at("each/compare.json"));
  ASSERT_EQ(each["comparisons"].size(), 2u);
  run_qsweep({"compare", run, map, "--format", "nvfp4", "--out", place.at("one")});
  const io::Json one = io::read_json_file(place.at("one/compare.json"));
  EXPECT_EQ(each["comparisons"][1]["ops"], one["ops"]) << "the second is what it is alone";
  EXPECT_FALSE(one.contains("comparisons"));
}

TEST_F(Compare, RunsAreComparedFormatByFormat) {
  const Outcome outcome = run_qsweep({"compare", run, run, "--out", place.at("each")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const io::Json each = io::read_json_file(place.at("each/compare.json"));
  ASSERT_EQ(each["comparisons"].size(), 2u);
  for (const io::Json& c : each["comparisons"]) EXPECT_EQ(c["run"]["what"], c["other"]["what"]);
}

TEST_F(Compare, AFormatThatOneRunLacksIsLeftOut) {
  const std::string other = place.at("other");
  std::filesystem::create_directory(other);
  auto scores = scores::read_scores(run);
  for (auto& score : scores.scores)
    if (score.format == "nvfp4") score.format = "fp8";
  scores::write_scores(scores, other);
  const Outcome outcome = run_qsweep({"compare", run, other, "--out", place.at("shared")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("nvfp4 is not compared: OTHER has no scores of it"));
  EXPECT_THAT(io::read_json_file(place.at("shared/compare.json"))["other"]["what"],
              "w8a8, isolated, exact, kl:all");
  const Outcome forced = run_qsweep(
      {"compare", run, other, "--format", "nvfp4", "--other-format", "fp8", "--out", place.at("forced")});
  EXPECT_EQ(forced.code, 0) << forced.err;
  EXPECT_THAT(forced.err, HasSubstr("RUN's scores are of nvfp4, OTHER's of fp8"));
  EXPECT_EQ(io::read_json_file(place.at("forced/compare.json"))["warnings"].size(), 1u);
}

TEST_F(Compare, HelpNamesBothSides) {
  const Outcome outcome = run_qsweep({"compare", "--help"});
  EXPECT_EQ(outcome.code, 0);
  for (const char* name : {"RUN", "OTHER", "--metric", "--format", "--other-format", "--other-mode", "--out"})
    EXPECT_THAT(outcome.out, HasSubstr(name));
}

TEST_F(Compare, RefusesBadInput) {
  expect_refused({"compare", run}, "OTHER is required");
  expect_refused({"compare", run, map, "--format", "w4a8"}, "expected scores of the chosen format");
  expect_refused({"compare", run, map, "--mode", "loo"},
                 "--mode: mode: expected one of isolated, leave-one-out");
  expect_refused({"compare", run, map, "--format", "w8a8", "--metric", "top1_flips"}, "--metric: ");
  expect_refused({"compare", run, map, "--format", "w8a8", "--other-method", "fast"}, "--other-method: ");
  expect_refused({"compare", run, place.at("nothing.json"), "--format", "w8a8"}, "nothing.json");
  expect_refused({"compare", place.at("none"), map}, "none");
  expect_refused({"compare", map, map}, "missing key \"schema\"");
  expect_refused({"compare", run, place.write("x.json", "{\"a\": [1]}"), "--format", "w8a8"},
                 "expected a qsweep run, a ModelOpt result");
  expect_refused({"compare", run, place.write("y.json", "{\"transformer.wte\": 1}"), "--format", "w8a8"},
                 "found none (but transformer.wte)");
  expect_refused({"compare", run, map, "--format", "w8a8", "--out", place.write("file", "")}, "--out: ");
}

// qsweep report of the same run, ranked anew.
TEST_F(Compare, TheReportRanksAnew) {
  const Outcome outcome = run_qsweep({"report", run, "--metric", "kl:answer"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("/report.md"), HasSubstr("/scores.csv")));
  EXPECT_THAT(read_text(run + "/report.md"), HasSubstr("Ranked by `kl:answer`"));
  EXPECT_EQ(read_text(run + "/scores.json"), before.at("scores.json"));
  before = files_in(run);
  expect_refused({"report", run, "--metric", "kl:some"},
                 "--metric: metric \"kl:some\": expected scope all or answer");
  expect_refused({"report", run, "--metric", "top1_flips"}, "--metric: metric \"top1_flips\"");
}

}  // namespace
}  // namespace qsweep::cli
