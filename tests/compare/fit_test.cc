// Sides of a comparison that do not fit together.
#include "compare/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compare/other.h"
#include "scores/files.h"
#include "scores/finalize.h"
#include "scores/synthetic.h"

namespace qsweep::compare {
namespace {

using scores::Mode;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

scores::Run finalized(scores::Run run) {
  finalize(run, {}, 1);
  return run;
}

Ranking first_ranking(const scores::Run& run) {
  return ranking_of(run, group_scores(run).front(), "RUN", {});
}

std::vector<std::string> warnings_of(const scores::Run& run, const scores::Run& other) {
  return compare(run.ops, first_ranking(run), first_ranking(other)).warnings;
}

// A file of another tool beside the run, chosen like the run's first scores.
std::vector<std::string> warnings_of(const scores::Run& run, const char* json) {
  const auto group = group_scores(run).front();
  const Ranking other = other_from_json(io::parse_json(json, "t"), "t", {}, group);
  return compare(run.ops, first_ranking(run), other).warnings;
}

TEST(Fit, KindsOfFormats) {
  const std::pair<const char*, const char*> kinds[] = {{"w8a8", "INT8"},
                                                       {"inc_w8a8", "INT8"},
                                                       {"modelopt_int4", "INT4"},
                                                       {"w4a16_g128", "INT4"},
                                                       {"w4a8", "W4A8"},
                                                       {"nvfp4a16", "NVFP4"},
                                                       {"w8a8_static", "INT8"},
                                                       {"fp8_tensor", "FP8"},
                                                       {"fp8_dynamic", "FP8"},
                                                       {"mxfp8", "MXFP8"},
                                                       {"vllm_mxfp8", "MXFP8"},
                                                       {"mxfp4a16", "MXFP4"},
                                                       {"FP8_DEFAULT_CFG(effective-bits: 8.0)", "FP8"},
                                                       {"INT8_SMOOTHQUANT", "INT8"},
                                                       {"W4A8_AWQ_BETA_CFG", "W4A8"},
                                                       {"something", ""}};
  for (const auto& [name, kind] : kinds) EXPECT_EQ(kind_of_format(name), kind) << name;
}

TEST(Fit, ARunWithItselfFits) {
  const auto run = finalized(scores::make_run());
  EXPECT_THAT(warnings_of(run, run), IsEmpty());
}

TEST(Fit, OtherFormatsAreWarnedOf) {
  const auto run = finalized(scores::make_run());
  auto other = run;
  for (auto& score : other.scores) score.format = "w8a8_dynamic";
  EXPECT_THAT(warnings_of(run, other),
              ElementsAre(HasSubstr("RUN's scores are of w8a8, OTHER's of w8a8_dynamic: formats differ")));
  const auto with_format = [](const std::string& format) {
    return R"({"groups": {"model.layers.0.mlp.down_proj.quant_recipe": {"formats": [")" + format +
           R"("], "scores": [1]}, "visual.merger.mlp.0.quant_recipe": {"formats": [")" + format +
           R"("], "scores": [2]}}})";
  };
  EXPECT_THAT(warnings_of(run, with_format("INT8_DEFAULT_CFG(effective-bits: 8.0)").c_str()), IsEmpty());
  EXPECT_THAT(warnings_of(run, with_format("FP8_DEFAULT_CFG(effective-bits: 8.0)").c_str()),
              ElementsAre(HasSubstr("RUN's scores are of w8a8, OTHER's of FP8_DEFAULT_CFG")));
  EXPECT_THAT(warnings_of(run, with_format("A_NEW_CFG").c_str()), IsEmpty())
      << "what is unknown is not judged";
}

TEST(Fit, OtherModesAreWarnedOf) {
  const auto run = finalized(scores::make_run());
  auto other = run;
  for (auto& score : other.scores) score.mode = Mode::leave_one_out;
  EXPECT_THAT(warnings_of(run, other),
              ElementsAre("RUN's scores are by mode isolated, OTHER's by leave-one-out: these "
                          "answer different questions"));
  const char* inc = R"({"fallback": {"visual.merger.mlp.0": 1, "model.layers.0.mlp.down_proj": 2}})";
  EXPECT_THAT(warnings_of(run, inc), ElementsAre(HasSubstr("isolated, OTHER's by leave-one-out")));
  EXPECT_THAT(warnings_of(other, inc), IsEmpty());
  const char* requant = R"({"requant": {"visual.merger.mlp.0": 1, "model.layers.0.mlp.down_proj": 2}})";
  EXPECT_THAT(warnings_of(run, requant), ElementsAre(HasSubstr("OTHER's by requantize-cumulative")));
  EXPECT_THAT(warnings_of(run, R"({"visual.merger.mlp.0": 1, "model.layers.0.mlp.down_proj": 2})"), IsEmpty())
      << "a map says nothing of its mode";
}

TEST(Fit, OtherModelsAndDataAreWarnedOf) {
  const auto run = finalized(scores::make_run());
  auto other = run;
  other.model.weights_sha256_of_headers = "ef";
  other.data.sha256 = "01";
  EXPECT_THAT(warnings_of(run, other),
              ElementsAre(HasSubstr("different models"), HasSubstr("different data")));
  other.model.weights_sha256_of_headers = other.data.sha256 = "";
  EXPECT_THAT(warnings_of(run, other), IsEmpty());
}

TEST(Fit, FewOpsInCommonAreWarnedOf) {
  const auto run = finalized(scores::make_run());
  EXPECT_THAT(
      warnings_of(run, R"({"visual.merger.mlp.0": 1})"),
      ElementsAre("only 1 of the 4 ops that RUN scored are compared: the figures are of these alone"));
  EXPECT_THAT(
      warnings_of(run,
                  R"({"visual.merger.mlp.0": 1, "model.layers.0.mlp.down_proj": 2, "a": 1, "b": 1, "c": 1})"),
      ElementsAre("only 2 of the 5 ops that OTHER scored are compared: the figures are of these alone"));
}

TEST(Fit, FormatsOfAnotherRun) {
  const scores::TemporaryFolder folder;
  auto run = scores::make_run();
  for (int op = 0; op < 4; ++op) {
    run.scores.push_back(run.scores[static_cast<size_t>(op)]);
    run.scores.back().format = "nvfp4";
  }
  finalize(run, {}, 1);
  scores::write_scores(run, folder.path());
  EXPECT_THAT(formats_of_run(folder.path()), ElementsAre("w8a8", "nvfp4"));
  folder.write("map.json", "{\"a\": 1}");
  EXPECT_THAT(formats_of_run(folder.path() + "/map.json"), IsEmpty());
}

}  // namespace
}  // namespace qsweep::compare
