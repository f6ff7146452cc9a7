// The folders that are written. testdata/stacks has one for each kind that the tools themselves have read as
// intended (make clients).
#include <algorithm>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/json.h"
#include "stacks/tiny.h"
#include "support/temporary_folder.h"
#include "support/testdata.h"

namespace qsweep::stacks {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

std::map<std::string, std::string> files_in(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& file : std::filesystem::directory_iterator(folder))
    files[file.path().filename().string()] = testing::read_text(file.path().string());
  return files;
}

Choice choice_of(const Model& model, const std::string& name, const Rules& rules) {
  return {.name = name, .formats = formats_by(model, rules)};
}

// The choice that a recipe.json asks for.
Choice read_choice(const Model& model, const std::string& path) {
  const io::Json json = io::read_json_file(path);
  Rules rules;
  for (const io::Json& rule : json["rules"])
    rules.emplace_back(rule["ops"].get<std::string>(), rule["format"].get<std::string>());
  return choice_of(model, json["name"].get<std::string>(), rules);
}

TEST(Export, OfEveryKindIsAsTheToolsHaveReadIt) {
  const testing::TemporaryFolder place;
  for (const Kind kind : all_kinds()) {
    const std::string golden = testing::testdata_folder() + "/stacks/" + std::string(name(kind));
    const std::string folder = place.at(std::string(name(kind)));
    const Model model = tiny_model();
    export_recipe(kind, model, read_choice(model, golden + "/recipe.json"), folder);
    EXPECT_EQ(files_in(folder), files_in(golden)) << name(kind);
  }
}

// So that make clients asks the tools about each of them.
TEST(Export, EveryFormatOfAKindIsInWhatTheToolsHaveRead) {
  const Model model = tiny_model();
  const scores::OpRecord& plain = op_of(model, "model.layers.0.self_attn.o_proj");
  for (const Kind kind : all_kinds()) {
    const Choice choice = read_choice(
        model, testing::testdata_folder() + "/stacks/" + std::string(name(kind)) + "/recipe.json");
    for (const quant::Format& format : quant::all_formats())
      EXPECT_EQ(std::ranges::count(choice.formats, &format) > 0, !refusal(kind, model, plain, &format))
          << name(kind) << " " << format.name;
  }
}

TEST(Export, NamesEveryOpOnceAndFloatOnesToo) {
  const testing::TemporaryFolder place;
  const Model model = tiny_model();
  export_recipe(Kind::compressed_tensors, model,
                choice_of(model, "one", {{"model.layers.0.self_attn.*", "w8a16"}}), place.at("out"));
  const io::Json config = io::read_json_file(place.at("out/quantization_config.json"));
  EXPECT_EQ(config["config_groups"]["group_0"]["targets"].size(), 4u);
  EXPECT_EQ(config["ignore"].size(), 72u);
  EXPECT_THAT(config["ignore"].get<std::vector<std::string>>(),
              AllOf(Contains("lm_head"), Contains("model.visual.patch_embed.proj"),
                    Contains("model.language_model.layers.0.mlp.up_proj")));
}

TEST(Export, SaysWhatTheChoiceCosts) {
  const testing::TemporaryFolder place;
  const Model model = tiny_model();
  Choice choice =
      choice_of(model, "mine", {{"*", "w8a16"}, {"lm_head", "float"}, {"visual.patch_embed.proj", "float"}});
  export_recipe(Kind::auto_round, model, choice, place.at("unknown"));
  EXPECT_THAT(
      place.read("unknown/README.md"),
      AllOf(HasSubstr("# mine, for AutoRound"), HasSubstr("76 ops: 2 float, 74 w8a16"),
            HasSubstr("predicted | not known"), HasSubstr("measured | not known"),
            HasSubstr("AutoRound 0.16.1"), HasSubstr("rounded to nearest"), Not(HasSubstr("## Warnings"))));
  choice.predicted = 0.0125;
  choice.measured = 0.01375;
  choice.metric = "kl:answer";
  export_recipe(Kind::auto_round, model, choice, place.at("known"));
  EXPECT_THAT(place.read("known/README.md"),
              AllOf(HasSubstr("kl:answer per position, predicted | 0.0125 |"),
                    HasSubstr("kl:answer per position, measured | 0.01375 |")));
  // 32 bits per row of 128 columns beside 8 per weight; all else float.
  const std::vector<const quant::Format*> one =
      formats_by(model, {{"model.layers.0.self_attn.o_proj", "w8a16"}});
  double weights = 0;
  for (const scores::OpRecord& op : model.ops)
    weights += static_cast<double>(op.in_features * op.out_features);
  EXPECT_DOUBLE_EQ(effective_bits(model, one), 16 - 128 * 128 * (16 - 8.25) / weights);
}

TEST(Export, WarningsStandInTheReadmeAndAreReturned) {
  const testing::TemporaryFolder place;
  const Model model = tiny_model();
  const auto warnings =
      export_recipe(Kind::modelopt, model, choice_of(model, "w", {{"model.layers.0.mlp.up_proj", "w4a8"}}),
                    place.at("out"));
  EXPECT_THAT(warnings, Contains(HasSubstr("w4a8 (1 op): ModelOpt simulates it")));
  EXPECT_THAT(warnings, Contains(HasSubstr("gate_proj float, up_proj w4a8")));
  for (const std::string& warning : warnings) EXPECT_THAT(place.read("out/README.md"), HasSubstr(warning));
}

void expect_refused(Kind kind, const Model& model, const Choice& choice, const std::string& folder,
                    const std::string& words) {
  try {
    export_recipe(kind, model, choice, folder);
    ADD_FAILURE() << "no Error, expected one with " << words;
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr(words));
  }
}

TEST(Export, NothingIsWrittenWhereAnythingIsRefused) {
  const testing::TemporaryFolder place;
  const Model model = tiny_model();
  const auto refused = [&](Kind kind, const Rules& rules, const std::string& words) {
    expect_refused(kind, model, choice_of(model, "no", rules), place.at("out"), words);
  };
  refused(Kind::inc, {{"model.layers.0.mlp.down_proj", "w8a8_dynamic"}}, "the nearest that it can is w8a8");
  refused(Kind::llm_compressor, {{"model.layers.0.mlp.up_proj", "w8a16"}}, "they need one format");
  refused(Kind::compressed_tensors, {{"lm_head", "w8a16"}}, "lm_head: compressed-tensors cannot have w8a16");
  refused(Kind::auto_round, {{"lm_head", "w8a16"}}, "the head is the token embedding");
  refused(Kind::auto_round, {{"visual.blocks.*.mlp.down_proj", "w4a16_g32"}}, "found 220");
  refused(Kind::auto_round, {{"visual.blocks.*.mlp.down_proj", "w4a16_g32"}}, "and 2 more");
  EXPECT_EQ(place.entries(), 0);
}

TEST(Export, AFolderThatExistsIsRefused) {
  const testing::TemporaryFolder place;
  const Model model = tiny_model();
  std::filesystem::create_directory(place.at("empty"));
  place.write("full/mine.txt", "mine");
  for (const char* folder : {"empty", "full", "full/mine.txt"})
    expect_refused(Kind::inc, model, choice_of(model, "no", {}), place.at(folder), "one that exists");
  EXPECT_EQ(place.read("full/mine.txt"), "mine");
  EXPECT_EQ(place.entries(), 2);
}

// A tool would read them as patterns.
TEST(Export, NamesThatAreNoPlainWordsAreRefused) {
  const testing::TemporaryFolder place;
  const Model model{"llama", false, {{"model.layers.0.mlp.[a-z]*", "language", 0, "up_proj", 8, 8, 64, {}}}};
  expect_refused(Kind::inc, model, {.name = "no", .formats = {nullptr}}, place.at("out"), "other signs than");
  const Model unknown{
      "mixtral", false, {{"model.layers.0.mlp.up_proj", "language", 0, "up_proj", 8, 8, 64, {}}}};
  expect_refused(Kind::inc, unknown, {.name = "no", .formats = {nullptr}}, place.at("out"), "\"mixtral\"");
  EXPECT_EQ(place.entries(), 0);
}

TEST(Export, ChoicesWithoutAQuantizedOpAreFiles) {
  const testing::TemporaryFolder place;
  const Model model = tiny_model();
  for (const Kind kind : all_kinds())
    export_recipe(kind, model, choice_of(model, "float", {}), place.at(std::string(name(kind))));
  EXPECT_THAT(place.read("llm-compressor/recipe.yaml"), HasSubstr("config_groups: {}"));
  EXPECT_EQ(
      io::read_json_file(place.at("hf-quant-config/hf_quant_config.json"))["quantization"]["exclude_modules"]
          .size(),
      76u);
}

TEST(Export, HeadsAreTensorsOfGgufWhereTheyAreNotTied) {
  const testing::TemporaryFolder place;
  Model model = tiny_model();
  export_recipe(Kind::llama_cpp, model, choice_of(model, "tied", {}), place.at("tied"));
  model.tied_embeddings = false;
  export_recipe(Kind::llama_cpp, model, choice_of(model, "own", {{"lm_head", "w8a16"}}), place.at("own"));
  EXPECT_THAT(place.read("tied/tensor-types.txt"), Not(HasSubstr("^output")));
  EXPECT_THAT(place.read("own/tensor-types.txt"), HasSubstr("^output\\.weight$=q8_0\n"));
  model.family = "gemma3";
  export_recipe(Kind::llama_cpp, model, choice_of(model, "other", {}), place.at("other"));
  EXPECT_FALSE(std::filesystem::exists(place.at("other/tensor-types-mmproj.txt")));
}

}  // namespace
}  // namespace qsweep::stacks
