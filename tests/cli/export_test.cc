// qsweep export: a recipe in the form that another program reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program.h"
#include "scores/eval_synthetic.h"
#include "scores/files.h"

namespace qsweep::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Export : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(run);
    auto scores = scores::make_run();
    finalize(scores, {}, 1);
    scores::write_scores(scores, run);
  }

  std::string recipe(const std::string& ops, const std::string& format) const {
    return place.write(
        "mine.json",
        fmt::format(R"({{"name": "mine", "rules": [{{"ops": "{}", "format": "{}"}}]}})", ops, format));
  }
  Outcome exported(const std::string& recipe, const std::string& kind, const Arguments& more = {}) const {
    Arguments arguments{"export", recipe, "--run", run, "--kind", kind, "--out", place.at("out")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_qsweep(arguments);
  }
  void expect_refused(const Outcome& outcome, const std::string& words) const {
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, AllOf(StartsWith("error: "), HasSubstr(words)));
    EXPECT_FALSE(std::filesystem::exists(place.at("out")));
  }

  const Workplace place;
  const std::string run = place.at("run");
};

TEST_F(Export, WritesTheFolder) {
  const Outcome outcome = exported(recipe("model.layers.*", "w8a8"), "inc");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("bits per weight, for inc"), HasSubstr("out/README.md")));
  const io::Json rules = io::read_json_file(place.at("out/recipe.json"))["rules"];
  ASSERT_EQ(rules.size(), 4u);
  EXPECT_EQ(rules[0], io::Json({{"ops", "visual.blocks.0.attn.qkv"}, {"format", "float"}}));
  EXPECT_EQ(rules[3], io::Json({{"ops", "model.layers.0.mlp.down_proj"}, {"format", "w8a8"}}));
  EXPECT_THAT(place.read("out/op_name_dict.json"),
              HasSubstr("model\\\\.language_model\\\\.layers\\\\.0\\\\.mlp"));
  EXPECT_THAT(place.read("out/README.md"), HasSubstr("measured | not known"));
  // What it wrote is a recipe again, and a folder that exists is left alone.
  const auto before = files_in(place.at("out"));
  EXPECT_EQ(exported(place.at("out/recipe.json"), "inc").code, 2);
  EXPECT_EQ(files_in(place.at("out")), before);
}

TEST_F(Export, TellsErrorsOfAnEvaluation) {
  std::filesystem::create_directory(place.at("eval"));
  scores::write_eval(scores::make_eval(), place.at("eval"));
  const std::string mixed = place.write("mixed.json", R"({"name": "any", "rules": [
    {"ops": "visual.blocks.0.attn.qkv", "format": "w8a8"}, {"ops": "*.q_proj", "format": "w8a8"}]})");
  const Outcome outcome = exported(mixed, "inc", {"--eval", place.at("eval")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  // 30 nats over 30 positions; 18 by the scores, corrected by 60/33 for all 33 of them.
  const double predicted = 18 * (1 + (60.0 / 33 - 1) * 18 / 33) / 30;
  EXPECT_THAT(place.read("out/README.md"), AllOf(HasSubstr("kl:all per position, measured | 1 |"),
                                                 HasSubstr(fmt::format("predicted | {:.6g} |", predicted))));
}

// What one tool chose is a recipe, and can be exported for another.
TEST_F(Export, ReadsTheRecipesOfOthers) {
  const std::string layers = place.write("layers.json", R"({
    "model.language_model.layers.0.self_attn.q_proj": {"bits": 8, "group_size": -1, "act_bits": 16},
    "down_proj": {"bits": 16, "act_bits": 16}})");
  const auto imported = [&](const std::string& file, const std::string& kind) {
    return run_qsweep({"import", file, "--kind", kind, "--run", run, "--out", place.at("read.json")});
  };
  const Outcome outcome = imported(layers, "auto-round");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("3 of 4 ops float"));
  const io::Json rules = io::read_json_file(place.at("read.json"))["rules"];
  EXPECT_EQ(rules.at(2), io::Json({{"ops", "model.layers.0.self_attn.q_proj"}, {"format", "w8a16"}}));
  EXPECT_EQ(exported(place.at("read.json"), "modelopt").code, 0);
  EXPECT_THAT(place.read("out/modelopt_recipe.yaml"),
              HasSubstr("layers.0.self_attn.q_proj.weight_quantizer"));
  const Outcome unknown = imported(place.write("bad.json", R"({"down_proj": {"bits": 5}})"), "auto-round");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("bad.json"), HasSubstr("group_size")));
  EXPECT_EQ(imported(layers, "inc").code, 2);
  EXPECT_EQ(run_qsweep({"import", layers, "--kind", "auto-round", "--run", run, "--out", layers}).code, 2);
}

TEST_F(Export, Refuses) {
  const std::string good = recipe("*.down_proj", "w8a8");
  expect_refused(exported(good, "gguf"), "unknown kind of export \"gguf\"; known: modelopt");
  expect_refused(exported(good, "modelopt"), "the nearest that it can is w8a8_static");
  expect_refused(exported(recipe("*.up_proj", "w8a8"), "inc"), "no op matches \"*.up_proj\"");
  expect_refused(exported(recipe("*.down_proj", "w4a16_g32"), "llm-compressor"), "multiples of 32, found 16");
  expect_refused(exported(place.at("none.json"), "inc"), "none.json");
  std::filesystem::create_directory(place.at("eval"));
  scores::write_eval(scores::make_eval(), place.at("eval"));
  expect_refused(exported(good, "inc", {"--eval", place.at("eval")}), "none of its recipes has the formats");
  expect_refused(run_qsweep({"export", good, "--run", run, "--kind", "inc"}), "--out");
}

}  // namespace
}  // namespace qsweep::cli
