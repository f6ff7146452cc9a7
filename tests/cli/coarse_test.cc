// Scores that are copied from a representative: what the files and what reads them make of these.
#include <map>

#include <gmock/gmock.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class CoarseRun : public ::testing::Test {
 protected:
  ScoreRun score(const std::string& name, Arguments flags) const {
    const Arguments few{"--samples", "2", "--threads", "1"};
    flags.insert(flags.end(), few.begin(), few.end());
    return score_run(place, name, testdata("tiny-qwen2.5-vl"), flags);
  }

  const Workplace place;
};

// Of every spread score, that it is its representative's in all but the op. Returns their number.
int expect_copies(const ScoreRun& run) {
  std::map<std::pair<std::string, std::string>, io::Json> by_op;
  for (const io::Json& s : run.scores()) by_op[{s["op"], s["format"]}] = s;
  int spread = 0;
  std::set<int64_t> ranks;
  for (const io::Json& score : run.scores()) {
    if (score["rank"].is_number()) ranks.insert(score["rank"].get<int64_t>());
    if (score["status"] != "spread") continue;
    ++spread;
    const io::Json& from = by_op.at({score["spread_from"], score["format"]});
    EXPECT_EQ(from["status"], "ok");
    EXPECT_TRUE(score["local"].is_null());
    for (const char* key : {"metrics", "method", "flags", "estimates", "effective_bits"})
      EXPECT_EQ(score[key], from[key]) << score;
  }
  EXPECT_EQ(ranks.size(), 43u) << "spread ops are ranked too";
  return spread;
}

TEST_F(CoarseRun, SpreadScoresAreMarkedEverywhere) {
  const ScoreRun run = score("run", {"--coarse", "block", "--format", "w8a16"});
  EXPECT_EQ(expect_copies(run), 4 * 7);
  EXPECT_EQ(run.json["settings"]["coarse"], "block");
  EXPECT_THAT(run.outcome.out,
              AllOf(HasSubstr("15 scores to compute and to be spread over 28 more, and all:w8a16"),
                    HasSubstr("  spread from model.layers.2.")));
  EXPECT_THAT(read_text(run.folder + "/report.md"), AllOf(HasSubstr("28 of 43 scores are not measured: "),
                                                          HasSubstr("`, spread from `model.layers.2.")));
  EXPECT_THAT(read_text(run.folder + "/scores.csv"), HasSubstr(",model.layers.5.self_attn.q_proj,"));
  const auto before = files_in(run.folder);
  EXPECT_EQ(run_qsweep({"report", run.folder}).code, 0);
  EXPECT_TRUE(files_in(run.folder) == before);

  const Outcome compared = run_qsweep({"compare", run.folder, run.folder, "--out", place.at("compared")});
  EXPECT_EQ(compared.code, 0) << compared.err;
  EXPECT_THAT(compared.out,
              AllOf(HasSubstr("RUN: spread: 28 of 76 ops have the score of the op of the same role"),
                    HasSubstr("43 matched")));
  const std::string recipe =
      place.write("r.json", R"({"name": "r", "rules": [{"ops": "*", "format": "w8a16"}]})");
  const EvalRun eval = eval_run(place, "eval", testdata("tiny-qwen2.5-vl"),
                                {"--samples", "1", "--recipe", recipe, "--scores", run.folder});
  EXPECT_TRUE(eval.recipe(0)["predicted"][0]["missing"].empty());
  EXPECT_TRUE(eval.recipe(0)["predicted"][0]["corrected"].is_number());
}

TEST_F(CoarseRun, EstimatesAreSpreadAsTheyAreInTheEnd) {
  const ScoreRun run = score("run", {"--coarse", "role", "--format", "w8a16", "--method", "auto"});
  EXPECT_EQ(expect_copies(run), 5 * 7);
  std::set<std::string> methods;
  for (const io::Json& s : run.scores())
    if (s["status"] == "spread") methods.insert(s["method"]);
  EXPECT_THAT(methods, ::testing::Contains("exact")) << "all eight ops that are estimated are then measured";
  const Outcome inspected = run_qsweep({"inspect", testdata("tiny-qwen2.5-vl"), "--coarse", "role"});
  EXPECT_THAT(inspected.out, AllOf(HasSubstr("to score     8\n"), HasSubstr("spread       35\n")));
}

}  // namespace
}  // namespace qsweep::cli
