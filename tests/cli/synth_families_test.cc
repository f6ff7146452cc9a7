// Synthetic checkpoints of every family, through the programs.
#include <filesystem>

#include <gmock/gmock.h>

#include "score_run.h"

namespace qsweep::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

// None where the tests were carried to another machine without them.
std::vector<std::string> folders_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& item : fs::directory_iterator(folder, ignored))
    names.push_back(item.path().filename().string());
  std::ranges::sort(names);
  return names;
}

std::string name_of(const ::testing::TestParamInfo<std::string>& folder) {
  std::string name = folder.param;
  std::ranges::replace_if(
      name, [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
}

class SynthFamilies : public ::testing::TestWithParam<std::string> {
 protected:
  // Makes a checkpoint of a config.json and the settings of its image processor.
  std::string make(const std::string& config) const {
    const std::string from = place.at("config-of-" + config), model = place.at("model-of-" + config);
    fs::create_directory(from);
    fs::copy_file(data + config, from + "/config.json");
    for (const std::string name : {"preprocessor_config.json", "processor_config.json"})
      if (fs::exists(data + name)) fs::copy_file(data + name, from + "/" + name);
    const Outcome made = run_qsweep_synth({from, model});
    EXPECT_EQ(made.code, 0) << made.err;
    return model;
  }

  const Workplace place;
  const std::string data = testdata("families/" + GetParam() + "/");
};

// The first sample is a dialogue, about an image where the family takes any.
TEST_P(SynthFamilies, ScoreADialogue) {
  for (const std::string config : {"config.json", "config-v5.json"}) {
    const std::string model = make(config);
    EXPECT_THAT(run_qsweep({"inspect", model}).out, Not(HasSubstr("does not use")));
    const ScoreRun run =
        score_run(place, "run-of-" + config, model,
                  {"--data", data + "samples.jsonl", "--samples", "1", "--format", "w8a8_dynamic"});
    // No token may choose an expert.
    const size_t unexercised = run.ops_with("unexercised").size();
    EXPECT_EQ(run.ops_with("ok").size() + unexercised, run.json["ops"].size()) << config;
    EXPECT_TRUE(unexercised == 0 || GetParam().ends_with("_moe") || GetParam() == "gpt_oss") << unexercised;
    EXPECT_THAT(run.kl_sums(), ::testing::Each(::testing::AllOf(::testing::Gt(0), ::testing::Lt(100))))
        << config;
    EXPECT_EQ(run.kl_sums().size() + unexercised, run.json["ops"].size()) << config;
  }
}

// Of published shapes, without their weights.
class FullSizeSlow : public ::testing::TestWithParam<std::string> {};

TEST_P(FullSizeSlow, IsPlannedWithin16GiB) {
  const Workplace place;
  const Outcome made =
      run_qsweep_synth({testdata("../bench/configs/" + GetParam()), place.at("model"), "--sparse"});
  EXPECT_EQ(made.code, 0) << made.err;
  const Outcome inspected = run_qsweep({"inspect", place.at("model"), "--memory", "16G"});
  EXPECT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_THAT(inspected.out, HasSubstr("of 16 GiB at the peak"));
}

INSTANTIATE_TEST_SUITE_P(All, FullSizeSlow, ::testing::ValuesIn(folders_in(testdata("../bench/configs"))),
                         name_of);

INSTANTIATE_TEST_SUITE_P(All, SynthFamilies, ::testing::ValuesIn(folders_in(testdata("families"))), name_of);

}  // namespace
}  // namespace qsweep::cli
