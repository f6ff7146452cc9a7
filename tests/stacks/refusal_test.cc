// What each stack can express: a table of its own, and what stands against ops, shapes and groups.
#include <algorithm>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "stacks/tiny.h"
#include "support/temporary_folder.h"

namespace qsweep::stacks {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// M modelopt, H hf-quant-config, L llm-compressor, C compressed-tensors, A auto-round, I inc, G llama.cpp,
// T torchao: the stacks that have the format.
const std::map<std::string, std::string> kExpressible{
    {"w8a8", "LCI"},           {"w8a8_static", "MLCA"}, {"fp8_tensor", "MHLCA"},
    {"w8a8_dynamic", "MLCAT"}, {"w8a16", "MLCAG"},      {"w4a16_g32", "MLCAGT"},
    {"w4a16_g128", "MLCAT"},   {"w4a8", "MLCA"},        {"fp8", "MLCA"},
    {"fp8_dynamic", "MHLCAT"}, {"nvfp4", "MHLCA"},      {"nvfp4a16", "MHLCAG"},
    {"mxfp4", "MLCA"},         {"mxfp6", "M"},          {"mxfp8", "MHLCA"},
    {"mxfp4a16", "MLCAG"},     {"inc_w8a8", "I"},       {"modelopt_int8", "M"},
    {"modelopt_fp8", "MH"},    {"modelopt_int4", "M"},  {"vllm_mxfp8", "HLC"}};
constexpr std::string_view kLetters = "MHLCAIGT";

const std::string kPlain = "model.layers.1.self_attn.o_proj";  // 128 columns and rows

std::string refusal_of(Kind kind, const std::string& op, const std::string& format,
                       const Model& model = tiny_model()) {
  return refusal(kind, model, op_of(model, op), &quant::find_format(format)).value_or("");
}

// No words: not refused at all.
void expect_refused(const std::string& refused, const std::string& words) {
  EXPECT_EQ(refused.empty(), words.empty()) << refused;
  EXPECT_THAT(refused, HasSubstr(words));
}

// The text that an export holds beside recipe.json and README.md.
std::string exported_text(const testing::TemporaryFolder& place, Kind kind, const std::string& format) {
  const Model model = tiny_model();
  const std::string folder = place.at(fmt::format("{}-{}", name(kind), format));
  if (!std::filesystem::exists(folder))
    export_recipe(kind, model, {.name = "one", .formats = formats_by(model, {{kPlain, format}})}, folder);
  std::string text;
  for (const auto& file : std::filesystem::directory_iterator(folder))
    if (file.path().filename() != "recipe.json" && file.path().filename() != "README.md")
      text += testing::read_text(file.path().string());
  return text;
}

// Every pair of a format and a kind is exported, so that its file is another than that of float, or refused
// with the op, the stack, the format, and a format that it can have.
TEST(Refusal, EveryFormatOfEveryKind) {
  const testing::TemporaryFolder place;
  for (const quant::Format& format : quant::all_formats()) {
    const std::string row(format.name);
    ASSERT_TRUE(kExpressible.contains(row)) << row << " needs a row here";
    for (const Kind kind : all_kinds()) {
      const bool expressible =
          kExpressible.at(row).find(kLetters[static_cast<size_t>(kind)]) != std::string::npos;
      const std::string refused = refusal_of(kind, kPlain, row);
      EXPECT_EQ(refused.empty(), expressible) << name(kind) << " " << row << ": " << refused;
      if (refused.empty()) {
        const std::string text = exported_text(place, kind, row);
        EXPECT_NE(text, exported_text(place, kind, "float")) << name(kind) << " " << row;
      } else {
        EXPECT_THAT(refused, AllOf(HasSubstr(kPlain), HasSubstr(name(kind)), HasSubstr(row)));
      }
    }
  }
}

TEST(Refusal, TheNearestFormatIsOneThatTheOpCanHave) {
  const Model model = tiny_model();
  for (const Kind kind : all_kinds())
    for (const quant::Format& format : quant::all_formats())
      for (const scores::OpRecord& op : model.ops) {
        const auto refused = refusal(kind, model, op, &format);
        if (!refused) continue;
        const std::string nearest = refused->substr(refused->rfind(' ') + 1);
        const quant::Format* const format_of = nearest == "float" ? nullptr : &quant::find_format(nearest);
        EXPECT_EQ(refusal(kind, model, op, format_of), std::nullopt) << *refused;
      }
  EXPECT_THAT(refusal_of(Kind::modelopt, kPlain, "w8a8"),
              HasSubstr("symmetric; the nearest that it can is w8a8_static"));
  EXPECT_THAT(refusal_of(Kind::llama_cpp, kPlain, "w8a8"),
              HasSubstr("kernels, not by the file; the nearest that it can is w8a16"));
  EXPECT_THAT(refusal_of(Kind::llama_cpp, kPlain, "w4a16_g128"), HasSubstr("is w4a16_g32"));
  EXPECT_THAT(refusal_of(Kind::compressed_tensors, kPlain, "mxfp6"),
              HasSubstr("E3M2; the nearest that it can is mxfp8"));
  EXPECT_THAT(refusal_of(Kind::hf_quant_config, kPlain, "w8a16"),
              HasSubstr("without a word; the nearest that it can is float"));
}

TEST(Refusal, FloatIsAlwaysPossible) {
  const Model model = tiny_model();
  for (const Kind kind : all_kinds())
    for (const scores::OpRecord& op : model.ops) EXPECT_EQ(refusal(kind, model, op, nullptr), std::nullopt);
}

// vLLM leaves a head float; a tied one is no op of its own for the others, ModelOpt excepted.
TEST(Refusal, OfTheHead) {
  const std::map<Kind, std::string> formats{
      {Kind::modelopt, "w8a16"},       {Kind::hf_quant_config, "fp8_dynamic"},
      {Kind::llm_compressor, "w8a16"}, {Kind::compressed_tensors, "w8a16"},
      {Kind::auto_round, "w8a16"},     {Kind::inc, "w8a8"},
      {Kind::llama_cpp, "w8a16"},      {Kind::torchao, "w8a8_dynamic"}};
  for (const Kind kind : all_kinds()) {
    const bool never =
        kind == Kind::hf_quant_config || kind == Kind::llm_compressor || kind == Kind::compressed_tensors;
    Model model = tiny_model();
    const bool always = kind == Kind::modelopt;
    const std::string vllm = "vLLM leaves lm_head float";
    for (const auto& [tied, words] : std::map<std::optional<bool>, std::string>{
             {true, "the head is the token embedding"}, {false, ""}, {std::nullopt, "score again"}}) {
      model.tied_embeddings = tied;
      expect_refused(refusal_of(kind, "lm_head", formats.at(kind), model), never    ? vllm
                                                                           : always ? ""
                                                                                    : words);
    }
  }
}

TEST(Refusal, OfConvolutionsAndBareMatrices) {
  for (const Kind kind : all_kinds())
    for (const quant::Format& format : quant::all_formats()) {
      const std::string refused = refusal_of(kind, "visual.patch_embed.proj", std::string(format.name));
      const bool possible = kind == Kind::modelopt &&
                            (format.name == "w8a16" || format.name == "fp8" || format.name == "w8a8_static" ||
                             format.name == "fp8_tensor" || format.name.starts_with("modelopt_"));
      EXPECT_EQ(refused.empty(), possible) << name(kind) << " " << format.name << ": " << refused;
    }
  Model gemma{"gemma3",
              true,
              {{"multi_modal_projector.mm_input_projection",
                "projector",
                {},
                "mm_input_projection",
                64,
                64,
                4096,
                {}}}};
  EXPECT_THAT(refusal_of(Kind::modelopt, gemma.ops[0].name, "w8a16", gemma), HasSubstr("no module"));
}

// 3420 columns, as the vision MLPs of Qwen2.5-VL have: a multiple of 4, of no block and no group.
TEST(Refusal, OfShapes) {
  const std::string down = "visual.blocks.7.mlp.down_proj";
  const Model model{"qwen2_5_vl", true, {{down, "vision", 7, "down_proj", 3420, 1280, 3420 * 1280, {}}}};
  for (const Kind kind : all_kinds())
    for (const auto& [format, letters] : kExpressible) {
      if (letters.find(kLetters[static_cast<size_t>(kind)]) == std::string::npos || kind == Kind::modelopt)
        continue;
      const std::string refused = refusal_of(kind, down, format, model);
      const bool grouped = quant::find_format(format).weights.granularity == quant::Granularity::per_group;
      const bool blocked =
          grouped || kind == Kind::llama_cpp || (kind == Kind::torchao && format == "fp8_dynamic");
      expect_refused(refused, blocked ? "found 3420" : "");
    }
  EXPECT_THAT(refusal_of(Kind::llm_compressor, down, "w4a16_g32", model),
              HasSubstr("multiples of 32, found 3420; the nearest that it can is w8a16"));
  // ModelOpt simulates it, and says so.
  EXPECT_EQ(refusal_of(Kind::modelopt, down, "w4a16_g128", model), "");
  const std::vector<const quant::Format*> formats{&quant::find_format("w4a16_g128")};
  EXPECT_THAT(check(Kind::modelopt, model, formats).warnings, ::testing::Contains(HasSubstr("cannot pack")));
  // llama.cpp's nvfp4 has larger blocks than the format: 96 columns are six of 16.
  EXPECT_THAT(refusal_of(Kind::llama_cpp, "visual.blocks.0.attn.qkv", "nvfp4a16"),
              HasSubstr("multiples of 64, found 96"));
  EXPECT_EQ(refusal_of(Kind::auto_round, "visual.blocks.0.attn.qkv", "nvfp4a16"), "");
}

TEST(Refusal, OfSplitGroups) {
  const Model model = tiny_model();
  for (const Kind kind : all_kinds()) {
    const std::string format = kind == Kind::inc ? "w8a8" : kind == Kind::llama_cpp ? "w8a16" : "fp8_dynamic";
    const std::string up = "model.layers.2.mlp.up_proj";
    const Findings found = check(kind, model, formats_by(model, {{up, format}}));
    const bool refuses =
        kind == Kind::hf_quant_config || kind == Kind::llm_compressor || kind == Kind::compressed_tensors;
    EXPECT_EQ(found.refusals.empty(), !refuses) << name(kind);
    EXPECT_THAT(refuses ? found.refusals : found.warnings,
                ::testing::Contains(AllOf(HasSubstr("model.layers.2.mlp.gate_up"),
                                          HasSubstr("gate_proj float, up_proj " + format))))
        << name(kind);
    EXPECT_THAT(check(kind, model, formats_by(model, {{"model.layers.2.mlp.[gu]*_proj", format}})).refusals,
                IsEmpty());
  }
}

TEST(Refusal, LlamaCppKnowsTheVisionTowerOfOneFamily) {
  Model model = tiny_model();
  model.family = "qwen3_vl";
  EXPECT_THAT(refusal_of(Kind::llama_cpp, "visual.merger.mlp.0", "w8a16", model),
              HasSubstr("names of the vision tower of qwen3_vl"));
  EXPECT_EQ(refusal_of(Kind::llama_cpp, kPlain, "w8a16", model), "");
}

TEST(Kinds, HaveNames) {
  std::vector<std::string_view> names;
  for (const Kind kind : all_kinds()) {
    names.push_back(name(kind));
    EXPECT_EQ(parse_kind(name(kind)), kind);
  }
  EXPECT_THAT(names, ElementsAre("modelopt", "hf-quant-config", "llm-compressor", "compressed-tensors",
                                 "auto-round", "inc", "llama.cpp", "torchao"));
  try {
    parse_kind("gguf");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("\"gguf\""), HasSubstr("llama.cpp, torchao")));
  }
}

}  // namespace
}  // namespace qsweep::stacks
