// Formats of caches in exports: what each stack reads, and what it refuses.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/json.h"
#include "stacks/import.h"
#include "stacks/tiny.h"
#include "support/temporary_folder.h"

namespace qsweep::stacks {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// The tiny model with the caches of its layers.
Model with_caches() {
  Model model = tiny_model();
  std::vector<scores::OpRecord> ops;
  for (scores::OpRecord& op : model.ops) {
    if (op.role == "o_proj")
      ops.push_back({.name = op.name.substr(0, op.name.size() - op.role.size()) + "kv",
                     .tower = "language",
                     .block = op.block,
                     .role = "kv",
                     .in_features = 128,
                     .out_features = 128,
                     .parameters = 0,
                     .fusion_group = {},
                     .cache = scores::CacheShape{.heads = 2, .head_dim = 32}});
    ops.push_back(std::move(op));
  }
  model.ops = std::move(ops);
  return model;
}

Choice choice(const Model& model, const std::string& linear, const std::string& cache,
              const std::string& of_first = "") {
  Choice choice{.name = "one", .formats = {}};
  for (const scores::OpRecord& op : model.ops) {
    const bool first = op.name.starts_with("model.layers.0.") && !of_first.empty();
    const std::string& name = op.cache ? (first ? of_first : cache) : linear;
    const bool stays = name == "float" || (!op.cache && (op.name == "lm_head" || op.tower != "language"));
    choice.formats.push_back(stays ? nullptr : &quant::find_format(name));
  }
  return choice;
}

class CacheExports : public ::testing::Test {
 protected:
  std::string exported(Kind kind, const Choice& choice, const std::string& file) const {
    const std::string folder(name(kind));
    export_recipe(kind, model, choice, place.at(folder));
    return place.read(folder + "/" + file);
  }
  std::string refused(Kind kind, const Choice& choice) const {
    const std::string folder = "refused";
    try {
      export_recipe(kind, model, choice, place.at(folder));
    } catch (const Error& error) {
      return error.what();
    }
    ADD_FAILURE() << name(kind);
    return "";
  }
  const testing::TemporaryFolder place;
  const Model model = with_caches();
};

TEST_F(CacheExports, OfModelOptNameTheQuantizersOfEveryLayer) {
  const std::string text =
      exported(Kind::modelopt, choice(model, "fp8_tensor", "kv_fp8", "kv_nvfp4"), "modelopt_recipe.yaml");
  const std::string at = "\"quantizer_name\": \"model.language_model.layers.";
  EXPECT_THAT(text, AllOf(HasSubstr(at + "0.self_attn.k_bmm_quantizer"),
                          HasSubstr(at + "5.self_attn.v_bmm_quantizer"), Not(HasSubstr("self_attn.kv"))));
  const auto line_of = [&](const std::string& quantizer) {
    const size_t found = text.find(quantizer);
    const size_t begin = text.rfind('\n', found) + 1;
    return text.substr(begin, text.find('\n', found) - begin);
  };
  EXPECT_THAT(line_of("layers.0.self_attn.k_bmm"),
              AllOf(HasSubstr("e2m1"), HasSubstr("dynamic"), HasSubstr("-1: 16")));
  EXPECT_THAT(line_of("layers.5.self_attn.v_bmm"), AllOf(HasSubstr("e4m3"), HasSubstr("\"axis\": null")));
}

TEST_F(CacheExports, OfCheckpointsNameOneFormatForAllLayers) {
  const Choice fp8 = choice(model, "fp8_tensor", "kv_fp8");
  const io::Json hf = io::parse_json(exported(Kind::hf_quant_config, fp8, "hf_quant_config.json"), "hf");
  EXPECT_EQ(hf["quantization"]["kv_cache_quant_algo"], "FP8");
  EXPECT_EQ(hf["quantization"]["quantized_layers"].size(), 42u);
  const io::Json packed =
      io::parse_json(exported(Kind::compressed_tensors, fp8, "quantization_config.json"), "packed");
  EXPECT_EQ(packed["kv_cache_scheme"]["num_bits"], 8);
  EXPECT_EQ(packed["kv_cache_scheme"]["type"], "float");
  EXPECT_EQ(packed["kv_cache_scheme"]["strategy"], "tensor");
  EXPECT_EQ(packed["kv_cache_scheme"]["dynamic"], false);
  EXPECT_EQ(packed["ignore"].size(), 34u);
  EXPECT_THAT(exported(Kind::llm_compressor, fp8, "recipe.yaml"),
              AllOf(HasSubstr("      kv_cache_scheme: {"), HasSubstr("\"type\": \"float\"")));
}

TEST_F(CacheExports, AddNoBitsAndKeepTheWholeRecipe) {
  const Choice with = choice(model, "fp8_tensor", "kv_fp8"), without = choice(model, "fp8_tensor", "float");
  EXPECT_EQ(effective_bits(model, with.formats), effective_bits(model, without.formats));
  const std::string text = exported(Kind::compressed_tensors, with, "recipe.json");
  EXPECT_THAT(text, HasSubstr("model.layers.3.self_attn.kv"));
}

TEST_F(CacheExports, RefuseWhatTheStackCannotSay) {
  for (const Kind kind : {Kind::hf_quant_config, Kind::compressed_tensors, Kind::llm_compressor}) {
    EXPECT_THAT(refused(kind, choice(model, "fp8_tensor", "kv_fp8", "float")),
                AllOf(HasSubstr("one format for those of all layers"), HasSubstr("1 float, 5 kv_fp8")));
    EXPECT_THAT(refused(kind, choice(model, "fp8_tensor", "kv_fp8_token_head")),
                AllOf(HasSubstr("--kv-cache-dtype"), HasSubstr("the nearest that it can is kv_fp8")));
  }
  EXPECT_THAT(refused(Kind::compressed_tensors, choice(model, "fp8_tensor", "kv_nvfp4")),
              HasSubstr("FP8 per tensor"));
  EXPECT_THAT(refused(Kind::modelopt, choice(model, "fp8_tensor", "kv_int8_token_head")),
              HasSubstr("one scale per tensor"));
  for (const Kind kind : {Kind::auto_round, Kind::inc, Kind::llama_cpp, Kind::torchao})
    EXPECT_THAT(refused(kind, choice(model, "float", "kv_fp8")), HasSubstr("says nothing of caches"));
}

// An import leaves caches float, whatever patterns of the file would fit their names.
TEST_F(CacheExports, ImportsAreOfLinearOps) {
  const io::Json json = io::parse_json(
      exported(Kind::compressed_tensors, choice(model, "fp8_tensor", "float"), "quantization_config.json"),
      "own");
  const auto formats = import_json(Kind::compressed_tensors, model, json, "own");
  ASSERT_EQ(formats.size(), model.ops.size());
  for (size_t op = 0; op < formats.size(); ++op) EXPECT_TRUE(!model.ops[op].cache || formats[op] == nullptr);
  EXPECT_EQ(std::ranges::count(formats, &quant::find_format("fp8_tensor")), 42);
}

}  // namespace
}  // namespace qsweep::stacks
