// qsweep compare: a run against other runs and other tools' results.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program.h"
#include "scores/files.h"
#include "scores/finalize.h"
#include "scores/synthetic.h"

namespace qsweep::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class Compare : public testing::Test {
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
  EXPECT_EQ(files_in(out).size(), 2u);
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

TEST_F(Compare, HelpNamesBothSides) {
  const Outcome outcome = run_qsweep({"compare", "--help"});
  EXPECT_EQ(outcome.code, 0);
  for (const char* name : {"RUN", "OTHER", "--metric", "--format", "--other-format", "--other-mode", "--out"})
    EXPECT_THAT(outcome.out, HasSubstr(name));
}

TEST_F(Compare, RefusesBadInput) {
  expect_refused({"compare", run}, "OTHER is required");
  expect_refused({"compare", run, map},
                 "expected scores of one format, mode and method, found w8a8, isolated, "
                 "exact; nvfp4, isolated, exact: choose with --format");
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

}  // namespace
}  // namespace qsweep::cli
