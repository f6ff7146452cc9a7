// qsweep-synth, and qsweep on what it writes.
#include <gmock/gmock.h>

#include "program.h"

namespace qsweep::cli {
namespace {

using ::testing::HasSubstr;

TEST(Synth, WritesWhatQsweepScores) {
  const Workplace place;
  const std::string model = place.at("model");
  const Outcome made =
      run_qsweep_synth({testdata("tiny-qwen2.5-vl"), model, "--layers", "2", "--vision-layers", "2"});
  EXPECT_EQ(made.code, 0);
  EXPECT_EQ(made.out + made.err, "");
  const Outcome inspected = run_qsweep({"inspect", model});
  EXPECT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_THAT(inspected.out, HasSubstr("visual.blocks.1.mlp.down_proj"));
  const Outcome scored = run_qsweep({"score", model, "--data", testdata("data/eval.jsonl"), "--samples", "2",
                                     "--ops", "*.1.*", "--out", place.at("run")});
  EXPECT_EQ(scored.code, 0) << scored.err;
}

TEST(Synth, RefusesBadInput) {
  const Workplace place;
  const std::string tiny = testdata("tiny-qwen2.5-vl"), out = place.at("out");
  const auto expect_refused = [&](const Arguments& arguments, const std::string& reason) {
    const Outcome outcome = run_qsweep_synth(arguments);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, ::testing::StartsWith("error: "));
    EXPECT_THAT(outcome.err, HasSubstr(reason));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(out));
  };
  expect_refused({}, "CONFIG_DIR is required");
  expect_refused({tiny}, "OUT is required");
  expect_refused({tiny, out, "--seed", "-1"}, "--seed");
  expect_refused({tiny, out, "--layers", "0"}, "--layers");
  expect_refused({tiny, out, "--layers", "7"}, "num_hidden_layers");
  expect_refused({tiny, out, "--threads", "x"}, "--threads");
  expect_refused({tiny, out, "--unknown"}, "--unknown");
  expect_refused({place.at("none"), out}, "none/config.json");
  expect_refused({tiny, testdata("data")}, "data: expected a new or an empty folder");
}

}  // namespace
}  // namespace qsweep::cli
