// score --groups: groups in the files of a run and in what reads them, and what they do not go with.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kFused = "model.layers.1.mlp.gate_up";

Arguments group_flags(const Workplace& place, const Arguments& more) {
  Arguments flags{"score",     testdata("tiny-qwen2.5-vl"),
                  "--data",    testdata("data/captions.txt"),
                  "--samples", "2",
                  "--ops",     "model.layers.1.*",
                  "--format",  "w8a16",
                  "--format",  "w4a16_g32",
                  "--out",     place.at("run")};
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

TEST(ScoreGroups, StandBesideTheScores) {
  const Workplace place;
  const Outcome run = run_qsweep(group_flags(place, {"--groups", "fused,block", "--sketch", "3"}));
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("14 scores to compute, and 6 of groups, all:w8a16, all:w4a16_g32"));
  const io::Json scores = io::Json::parse(read_text(place.at("run/scores.json")));
  std::map<std::string, int> statuses;
  for (const io::Json& group : scores["groups"]) ++statuses[group["status"]];
  EXPECT_EQ(statuses.at("ok"), 6);
  EXPECT_GT(statuses.at("skipped"), 0);
  for (const io::Json& group : scores["groups"]) {
    if (group["group"] != kFused) continue;
    double sum = 0;
    for (const io::Json& score : scores["scores"])
      if (score["format"] == group["format"])
        for (const io::Json& op : group["ops"])
          if (op == score["op"]) sum += score["value"].get<double>();
    EXPECT_NEAR(group["sum_of_ops"].get<double>(), sum, 1e-12 * sum);
    EXPECT_NEAR(group["value"].get<double>() / sum, 1, 0.5);
    EXPECT_NE(group["value"], group["sum_of_ops"]);
  }
  EXPECT_THAT(read_text(place.at("run/report.md")),
              AllOf(HasSubstr("## Groups"), HasSubstr("`model.layers.1.mlp.gate_up`"),
                    HasSubstr("times the sum of their ops"), HasSubstr("groups skipped")));
  EXPECT_THAT(read_text(place.at("run/scores.csv")), ::testing::Not(HasSubstr("language block")));
  const auto sketches = io::SafetensorsFile::open(place.at("run/sketches.safetensors"));
  EXPECT_EQ(sketches.find("sketches")->shape[0], 14 + 6);
  EXPECT_THAT(sketches.metadata().at("groups"), HasSubstr(R"(["model.layers.1.mlp.gate_up","w8a16"])"));
  // The files are read back as they are.
  const auto before = files_in(place.at("run"));
  EXPECT_EQ(run_qsweep({"report", place.at("run")}).code, 0);
  EXPECT_TRUE(files_in(place.at("run")) == before);
  EXPECT_EQ(run_qsweep({"compare", place.at("run"), place.at("run"), "--out", place.at("same")}).code, 0);
  EXPECT_THAT(read_text(place.at("same/compare.json")), ::testing::Not(HasSubstr("language block")));
}

// The group's own error, in place of the sum over its ops.
TEST(ScoreGroups, RecipesAndPredictionsTakeThem) {
  const Workplace place;
  ASSERT_EQ(run_qsweep(group_flags(place, {"--groups", "block"})).code, 0);
  const std::string recipe = place.write(
      "block.json", R"({"name": "block", "rules": [{"ops": "model.layers.1.*", "format": "w4a16_g32"}]})");
  const EvalRun eval = eval_run(place, "eval", testdata("tiny-qwen2.5-vl"),
                                {"--data", testdata("data/captions.txt"), "--samples", "2", "--recipe",
                                 recipe, "--scores", place.at("run")});
  EXPECT_NEAR(eval.recipe(0)["predicted"][0]["plain_sum"].get<double>() / kl(eval.recipe(0)), 1, 0.02);

  ASSERT_EQ(run_qsweep({"recipe", place.at("run"), "--bits", "15.2", "--group", "block", "--fix",
                        "model.layers.1.*=w4a16_g32", "--out", place.at("recipe")})
                .code,
            0);
  const io::Json chosen = io::Json::parse(read_text(place.at("recipe/recipes.json")));
  double value = 0;
  const io::Json scores = io::Json::parse(read_text(place.at("run/scores.json")));
  for (const io::Json& group : scores["groups"])
    if (group["status"] == "ok" && group["format"] == "w4a16_g32") value = group["value"];
  EXPECT_GT(value, 0);
  EXPECT_NEAR(chosen["recipes"][0]["plain_sum"].get<double>(), value, 1e-9 * value);
}

TEST(ScoreGroups, ADryRunCountsThem) {
  const Workplace place;
  const Outcome run = run_qsweep(group_flags(place, {"--groups", "fused", "--dry-run", "--json"}));
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(io::Json::parse(run.out)["groups_to_compute"], 4);
  EXPECT_FALSE(std::filesystem::exists(place.at("run/scores.json")));
  const Outcome inspected =
      run_qsweep({"inspect", testdata("tiny-qwen2.5-vl"), "--ops", "model.layers.1.*", "--groups", "fused"});
  EXPECT_THAT(inspected.out, HasSubstr("of groups    2"));
}

TEST(ScoreGroups, WhatDoesNotMeasureThemIsRefused) {
  const Workplace place;
  const auto refused = [&](const Arguments& more) {
    Arguments flags{"--groups", "fused"};
    flags.insert(flags.end(), more.begin(), more.end());
    const Outcome run = run_qsweep(group_flags(place, flags));
    EXPECT_EQ(run.code, 2);
    EXPECT_FALSE(std::filesystem::exists(place.at("run")));
    return run.err;
  };
  for (const char* method : {"adjoint", "fisher", "hawq", "local", "auto"})
    EXPECT_THAT(refused({"--method", method}), HasSubstr("--groups: expected --method exact, found"));
  EXPECT_THAT(refused({"--time-budget", "10m"}), HasSubstr("--groups: expected --method exact, found auto"));
  EXPECT_THAT(refused({"--mode", "leave-one-out"}),
              HasSubstr("--groups: expected --mode isolated, found leave-one-out"));
  EXPECT_THAT(refused({"--coarse", "block"}), HasSubstr("--groups: expected every op to be measured"));
  EXPECT_THAT(refused({"--max-ops", "1"}), HasSubstr("--groups: expected groups of several ops of which"));
  EXPECT_THAT(refused({"--groups", "nothing*"}), HasSubstr("--groups: no op matches \"nothing*\""));
  EXPECT_THAT(refused({"--groups", "lm_head"}), HasSubstr("a pattern that several ops match"));
}

}  // namespace
}  // namespace qsweep::cli
