// score --sketch: the file beside the scores, and what it does not go with.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::HasSubstr;

Arguments sketch_flags(const Workplace& place, const Arguments& more) {
  Arguments flags{"score",     testdata("tiny-qwen2.5-vl"),
                  "--data",    testdata("data/captions.txt"),
                  "--samples", "2",
                  "--ops",     "model.layers.1.mlp.*",
                  "--format",  "w8a16",
                  "--format",  "w4a16_g32",
                  "--out",     place.at("run")};
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

TEST(Sketch, StandsBesideTheScoresItIsOf) {
  const Workplace place;
  ASSERT_EQ(run_qsweep(sketch_flags(place, {"--sketch", "3"})).code, 0);
  const std::string file = place.at("run/sketches.safetensors");
  {
    const auto found = io::SafetensorsFile::open(file);
    const Shape shape = found.find("sketches")->shape;
    EXPECT_EQ(shape[0], 6);
    EXPECT_EQ(shape[2], 3);
    EXPECT_EQ(found.metadata().at("metric"), "kl");
    EXPECT_THAT(found.metadata().at("scores"), HasSubstr(R"(["model.layers.1.mlp.gate_proj","w8a16"])"));
  }
  // A run that keeps none leaves none of another run.
  ASSERT_EQ(run_qsweep(sketch_flags(place, {"--sketch", "0"})).code, 0);
  EXPECT_FALSE(std::filesystem::exists(file));
}

// The same data: what is foretold of three ops together is what they do, but for terms of higher order.
TEST(Sketch, EvalForetellsByHowErrorsAlign) {
  const Workplace place;
  ASSERT_EQ(run_qsweep(sketch_flags(place, {"--sketch", "64", "--precision", "strict"})).code, 0);
  const std::string recipe = place.write(
      "mlp.json", R"({"name": "mlp", "rules": [{"ops": "model.layers.1.mlp.*", "format": "w4a16_g32"}]})");
  const Arguments flags{"--data",      testdata("data/captions.txt"),
                        "--samples",   "2",
                        "--precision", "strict",
                        "--recipe",    recipe,
                        "--scores",    place.at("run")};
  const EvalRun eval = eval_run(place, "eval", testdata("tiny-qwen2.5-vl"), flags);
  const io::Json& predicted = eval.recipe(0)["predicted"][0];
  const double measured = kl(eval.recipe(0));
  EXPECT_NEAR(predicted["with_pairs"].get<double>() / measured, 1, 0.1);
  EXPECT_NE(predicted["with_pairs"], predicted["plain_sum"]);
  EXPECT_TRUE(eval.recipe(0)["predicted"][1]["with_pairs"].is_null()) << "sketches are of the KL";
  std::filesystem::remove(place.at("run/sketches.safetensors"));
  EXPECT_TRUE(eval_run(place, "eval-2", testdata("tiny-qwen2.5-vl"), flags)
                  .recipe(0)["predicted"][0]["with_pairs"]
                  .is_null());
}

TEST(Sketch, WhatHasNoChangesOfTheOutputIsRefused) {
  const Workplace place;
  const auto refused = [&](const Arguments& more) {
    Arguments flags{"--sketch", "16"};
    flags.insert(flags.end(), more.begin(), more.end());
    const Outcome run = run_qsweep(sketch_flags(place, flags));
    EXPECT_EQ(run.code, 2);
    EXPECT_FALSE(std::filesystem::exists(place.at("run")));
    return run.err;
  };
  for (const char* method : {"adjoint", "fisher", "hawq", "local", "auto"})
    EXPECT_THAT(refused({"--method", method}), HasSubstr("--sketch: expected --method exact, found"));
  EXPECT_THAT(refused({"--mode", "leave-one-out"}),
              HasSubstr("--sketch: expected --mode isolated, found leave-one-out"));
  EXPECT_THAT(refused({"--coarse", "block"}), HasSubstr("--sketch: expected every op to be measured"));
  EXPECT_THAT(refused({"--sketch", "1025"}), HasSubstr("--sketch"));
}

}  // namespace
}  // namespace qsweep::cli
