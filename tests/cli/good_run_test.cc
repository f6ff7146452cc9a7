// Runs that must succeed, and what they leave behind.
#include <filesystem>

#include <gmock/gmock.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class GoodRun : public ::testing::Test {
 protected:
  const std::string tiny = testdata("tiny-qwen2.5-vl");
  const std::string with_images = testdata("data/eval.jsonl");
  const Workplace place;
};

// What the run measured: scores.json without what may differ between two equal runs.
std::string without_provenance(io::Json json) {
  json.erase("provenance");
  json["settings"].erase("out");
  return json.dump();
}

TEST_F(GoodRun, TextLeavesTheVisionTowerUnexercised) {
  const ScoreRun run = score_run(place, "run", tiny, {});
  EXPECT_EQ(run.ops_with("ok").size(), kLanguageOps);
  const auto unexercised = run.ops_with("unexercised");
  EXPECT_EQ(unexercised.size(), kVisionOps);
  EXPECT_THAT(unexercised, Each(StartsWith("visual.")));
  for (const io::Json& score : run.scores()) {
    if (score["status"] == "ok") {
      EXPECT_GT(score["metrics"]["all"]["kl"], 0) << score;
      EXPECT_TRUE(score["rank"].is_number()) << score;
      continue;
    }
    EXPECT_TRUE(score["metrics"].is_null() && score["local"].is_null() && score["rank"].is_null()) << score;
  }
  EXPECT_THAT(run.outcome.err, AllOf(StartsWith("warning: "), HasSubstr("33 scores are unexercised")));
  const std::string report = read_text(run.folder + "/report.md");
  EXPECT_THAT(report, AllOf(HasSubstr("## Warnings"), HasSubstr("No row of the data reached 33 ops"),
                            HasSubstr("add samples with images"), HasSubstr("only 3 samples")));
}

TEST_F(GoodRun, WithImagesEveryOpIsScored) {
  const ScoreRun run = score_run(place, "run", tiny, {"--data", with_images, "--samples", "2"});
  EXPECT_EQ(run.ops_with("ok").size(), kOps);
  EXPECT_EQ(run.outcome.err, "");
  EXPECT_EQ(run.json["data"]["samples"], 2);
  EXPECT_EQ(run.json["data"]["images"], 2);
  EXPECT_THAT(run.outcome.out, HasSubstr("1 pass over the weights"));
}

// Ranges of activations are needed by w8a8, and the calibration data does not reach the vision tower.
TEST_F(GoodRun, TextCalibrationLeavesTheVisionTowerUncalibrated) {
  const std::string calib = place.write("calib.txt", "A red circle.\nA blue square.\n");
  const ScoreRun run = score_run(place, "run", tiny,
                                 {"--data", with_images, "--samples", "1", "--calib", calib, "--format",
                                  "w8a8", "--format", "w8a8_dynamic", "--ops", "*.merger.*"});
  EXPECT_EQ(run.ops_with("uncalibrated").size(), 2u);
  EXPECT_EQ(run.ops_with("ok").size(), 2u);
  for (const io::Json& score : run.scores())
    if (score["status"] == "ok") {
      EXPECT_EQ(score["format"], "w8a8_dynamic");
    }
  EXPECT_THAT(run.outcome.err, HasSubstr("2 scores are uncalibrated"));
  EXPECT_THAT(read_text(run.folder + "/report.md"), HasSubstr("Give `--calib` data that reaches it"));
}

TEST_F(GoodRun, DryRunWritesNothing) {
  const Outcome outcome = run_qsweep(
      {"score", tiny, "--data", with_images, "--samples", "2", "--out", place.at("run"), "--dry-run"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("76 scores to compute, and all:w8a8; about "), HasSubstr("memory plan: ")));
  EXPECT_FALSE(std::filesystem::exists(place.at("run")));
}

TEST_F(GoodRun, InspectListsEveryOp) {
  const ScoreRun run = score_run(place, "run", tiny, {"--samples", "1", "--ops", "lm_head"});
  const Outcome plain = run_qsweep({"inspect", tiny});
  EXPECT_EQ(plain.code, 0) << plain.err;
  ASSERT_EQ(run.json["ops"].size(), kOps);
  for (const io::Json& op : run.json["ops"])
    EXPECT_THAT(plain.out,
                ContainsRegex("\n" + op["name"].get<std::string>() + " +" + op["tower"].get<std::string>() +
                              " +" + op["in_features"].dump() + " +" + op["out_features"].dump() + " "));
  EXPECT_THAT(plain.out, AllOf(HasSubstr("tied to the embedding"), HasSubstr("to score     43"),
                               HasSubstr("unexercised  33"), HasSubstr("memory plan: ")));
  const Outcome own_data = run_qsweep({"inspect", tiny, "--data", with_images, "--samples", "2"});
  EXPECT_THAT(own_data.out, AllOf(HasSubstr("eval.jsonl"), HasSubstr("to score     76")));
}

TEST_F(GoodRun, ReportIsWrittenAnewFromTheScores) {
  const ScoreRun run =
      score_run(place, "run", tiny,
                {"--data", with_images, "--samples", "2", "--format", "w8a8", "--format", "w8a8_dynamic"});
  const auto before = files_in(run.folder);
  std::filesystem::remove(run.folder + "/report.md");
  std::filesystem::remove(run.folder + "/report.html");
  place.write("run/scores.csv", "old");
  const Outcome outcome = run_qsweep({"report", run.folder});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            run.folder + "/report.md  " + run.folder + "/scores.csv  " + run.folder + "/report.html\n");
  EXPECT_TRUE(files_in(run.folder) == before);
}

TEST_F(GoodRun, EqualRunsGiveEqualScores) {
  const Arguments flags{"--data", with_images, "--samples", "3", "--ops", "*.1.*"};
  const ScoreRun first = score_run(place, "first", tiny, flags);
  const ScoreRun second = score_run(place, "second", tiny, flags);
  EXPECT_TRUE(without_provenance(first.json) == without_provenance(second.json));
  const ScoreRun other =
      score_run(place, "other", tiny, {"--data", with_images, "--samples", "2", "--ops", "*.1.*"});
  EXPECT_FALSE(without_provenance(first.json) == without_provenance(other.json));
}

TEST_F(GoodRun, OpsThatAreNotAskedForAreSkipped) {
  const ScoreRun layer = score_run(place, "layer", tiny, {"--ops", "model.layers.0.*"});
  EXPECT_EQ(layer.ops_with("ok").size(), 7u);
  EXPECT_THAT(layer.ops_with("ok"), Each(StartsWith("model.layers.0.")));
  EXPECT_EQ(layer.ops_with("skipped").size(), kOps - 7);
  EXPECT_EQ(layer.kl_sums().size(), 7u);

  const ScoreRun five = score_run(place, "five", tiny, {"--ops", "model.*", "--max-ops", "5"});
  EXPECT_THAT(five.ops_with("ok"),
              ::testing::ElementsAre("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj",
                                     "model.layers.0.self_attn.v_proj", "model.layers.0.self_attn.o_proj",
                                     StartsWith("model.layers.0.mlp.")));
  EXPECT_EQ(five.ops_with("skipped").size(), kOps - 5);
}

TEST_F(GoodRun, NothingToScoreIsSaid) {
  const ScoreRun run = score_run(place, "run", tiny, {"--ops", "visual.*"});
  EXPECT_EQ(run.ops_with("unexercised").size(), kVisionOps);
  EXPECT_EQ(run.kl_sums().size(), 0u);
  EXPECT_THAT(run.outcome.out, HasSubstr("w8a8: no op has a score"));
  EXPECT_THAT(read_text(run.folder + "/report.md"), HasSubstr("No op has a score"));
}

TEST_F(GoodRun, ImageSizeSetsTheNumberOfImageTokens) {
  const Arguments flags{"--data", with_images, "--samples", "1", "--ops", "visual.merger.*"};
  const auto tokens = [&](const std::string& side) {
    Arguments sized = flags;
    sized.insert(sized.end(), {"--image-size", side});
    return score_run(place, "run" + side, tiny, sized).json["data"]["tokens"].get<int64_t>();
  };
  // A side of 28 pixels is one merged unit, so one token.
  const int64_t smallest = tokens("28");
  EXPECT_EQ(tokens("56"), smallest + 3);
  EXPECT_EQ(tokens("112"), smallest + 15);
}

// (Slow: left out under sanitizers, whose memory is their own.)
TEST_F(GoodRun, SlowLittleMemoryTakesMorePassesAndGivesTheSameScores) {
  const auto flags = [&](const std::string& memory) {
    return Arguments{"--data", with_images, "--samples",    "24",       "--ops",
                     "*.2.*",  "--format",  "w8a8_dynamic", "--memory", memory};
  };
  const ScoreRun one_pass = score_run(place, "one", tiny, flags("1G"));
  EXPECT_THAT(one_pass.outcome.out, HasSubstr("1 pass over the weights"));
  // Both ends count what the process holds already, which differs between builds and a little between runs.
  Arguments too_little{"score", tiny, "--out", place.at("refused")};
  for (const std::string& flag : flags("1M")) too_little.push_back(flag);
  const double least = number_after(run_qsweep(too_little).err, "needs at least ");
  const double most = number_after(one_pass.outcome.out, "memory plan: ");
  const auto between = std::to_string(static_cast<int>((least + most) / 2)) + "M";
  const ScoreRun passes = score_run(place, "several", tiny, flags(between));
  EXPECT_THAT(passes.outcome.out, ContainsRegex("[2-9] passes over the weights"));
  EXPECT_TRUE(median_relative_difference(passes.kl_sums(), one_pass.kl_sums()) <= 1e-3);
}

}  // namespace
}  // namespace qsweep::cli
