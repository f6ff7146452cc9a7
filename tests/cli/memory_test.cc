// The memory plan is a promise about the whole process. (Slow: left out under sanitizers, whose memory is
// their own.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::HasSubstr;

TEST(MemorySlow, ThePeakKeepsToThePlanAndPassesDoNotChangeScores) {
  const Workplace place;
  const std::string data = std::string(QSWEEP_TESTDATA) + "/data/eval.jsonl";
  const auto run_within = [&](const std::string& memory) {
    const ScoreRun run = score_run(place, "run-" + memory, std::string(QSWEEP_TESTDATA) + "/tiny-qwen2.5-vl",
                                   {"--data", data, "--samples", "12", "--format", "w8a8", "--format",
                                    "w8a8_dynamic", "--memory", memory});
    const double planned = run.json["provenance"]["planned_bytes"].get<double>();
    const double peak = run.json["provenance"]["peak_rss_bytes"].get<double>();
    EXPECT_TRUE(peak <= 1.1 * planned + 64 * 1048576.0) << memory << ": " << peak << " of " << planned;
    return run;
  };
  const ScoreRun one_pass = run_within("4G"), passes = run_within("120M");
  EXPECT_THAT(one_pass.outcome.out, HasSubstr("1 pass over the weights"));
  EXPECT_THAT(passes.outcome.out, HasSubstr(" passes over the weights"));
  EXPECT_TRUE(median_relative_difference(passes.kl_sums(), one_pass.kl_sums()) <= 1e-3);
}

}  // namespace
}  // namespace qsweep::cli
