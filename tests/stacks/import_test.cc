// Recipes of other tools: what was exported is read back, and patterns mean what they mean to the tools.
#include "stacks/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "stacks/tiny.h"
#include "stacks/yaml.h"
#include "support/temporary_folder.h"
#include "support/testdata.h"

namespace qsweep::stacks {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using Formats = std::vector<const quant::Format*>;

class Import : public ::testing::Test {
 protected:
  Formats read(Kind kind, const std::string& text) const {
    const std::string file = kind == Kind::modelopt ? "recipe.yaml" : "recipe.json";
    return import_recipe(kind, model, place.write(file, text));
  }
  std::string format(const Formats& formats, const std::string& op) const {
    for (size_t i = 0; i < formats.size(); ++i)
      if (model.ops[i].name == op) return formats[i] == nullptr ? "float" : std::string(formats[i]->name);
    return "no such op";
  }
  void expect_refused(Kind kind, const std::string& text, const std::string& words) const {
    try {
      read(kind, text);
      ADD_FAILURE() << "no Error, expected one with " << words;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), AllOf(HasSubstr("recipe."), HasSubstr(words)));
    }
  }

  const testing::TemporaryFolder place;
  const Model model = tiny_model();
};

TEST_F(Import, ReadsWhatIsExported) {
  const std::pair<Kind, const char*> files[] = {{Kind::modelopt, "modelopt_recipe.yaml"},
                                                {Kind::compressed_tensors, "quantization_config.json"},
                                                {Kind::auto_round, "layer_config.json"}};
  for (const auto& [kind, file] : files) {
    const std::string folder = testing::testdata_folder() + "/stacks/" + std::string(name(kind));
    const io::Json rules = io::read_json_file(folder + "/recipe.json")["rules"];
    const Formats formats = import_recipe(kind, model, folder + "/" + file);
    ASSERT_EQ(formats.size(), rules.size());
    for (size_t op = 0; op < formats.size(); ++op) {
      std::string wanted = rules[op]["format"].get<std::string>();
      // ModelOpt has one configuration for its own arithmetic and for ours.
      if (wanted == "modelopt_int8") wanted = "w8a8_static";
      if (wanted == "modelopt_fp8") wanted = "fp8_tensor";
      if (wanted == "modelopt_int4") wanted = "w4a16_g128";
      if (wanted == "vllm_mxfp8") wanted = "mxfp8";  // how scales are rounded is in no file
      EXPECT_EQ(format(formats, model.ops[op].name), wanted) << name(kind) << " " << model.ops[op].name;
    }
  }
  EXPECT_EQ(imported_kinds().size(), std::size(files));
}

// What the fuzzer starts from.
TEST_F(Import, ReadsTheFuzzersSeeds) {
  const auto seed = [&](Kind kind, const std::string& file) {
    return import_recipe(kind, model, testing::testdata_folder() + "/stacks/import_" + file);
  };
  const std::string query = "model.layers.0.self_attn.q_proj", down = "model.layers.0.mlp.down_proj";
  EXPECT_EQ(format(seed(Kind::modelopt, "modelopt.yaml"), query), "w8a8_dynamic");
  EXPECT_EQ(format(seed(Kind::modelopt, "modelopt.yaml"), "visual.blocks.0.attn.qkv"), "nvfp4a16");
  EXPECT_EQ(format(seed(Kind::modelopt, "modelopt_map.json"), down), "w4a16_g32");
  EXPECT_EQ(format(seed(Kind::compressed_tensors, "compressed_tensors.json"), query), "w8a8_dynamic");
  EXPECT_EQ(format(seed(Kind::compressed_tensors, "compressed_tensors.json"), down), "w4a16_g32");
  EXPECT_EQ(format(seed(Kind::auto_round, "auto_round.json"), query), "w8a8_dynamic");
  EXPECT_EQ(format(seed(Kind::auto_round, "auto_round.json"), down), "float");
}

const std::string kInt8 = R"("weights": {"num_bits": 8, "strategy": "channel"},
  "input_activations": {"num_bits": 8, "strategy": "token", "dynamic": true})";
const std::string kInt4 =
    R"("weights": {"num_bits": 4, "group_size": 128, "symmetric": true}, "input_activations": null)";

std::string compressed(const std::string& groups, const std::string& ignore) {
  return R"({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {)" + groups +
         R"(}, "ignore": [)" + ignore + "]}}";
}

// A class is every Linear, the head too, but no convolution; `ignore` wins.
TEST_F(Import, ClassesOfCompressedTensors) {
  const Formats formats =
      read(Kind::compressed_tensors, compressed(R"("group_0": {"targets": ["Linear"], )" + kInt8 + "}",
                                                R"("lm_head", "re:.*mlp[.]down_proj$")"));
  EXPECT_EQ(format(formats, "model.layers.0.self_attn.q_proj"), "w8a8_dynamic");
  EXPECT_EQ(format(formats, "visual.merger.mlp.0"), "w8a8_dynamic");
  EXPECT_EQ(format(formats, "lm_head"), "float");
  EXPECT_EQ(format(formats, "visual.patch_embed.proj"), "float") << "a convolution";
  EXPECT_EQ(format(formats, "visual.blocks.3.mlp.down_proj"), "float");
  EXPECT_EQ(format(formats, "model.layers.3.mlp.down_proj"), "float");
}

// Names win over expressions, these over classes. An expression fits from the begin of the name in memory, so
// one for names of old checkpoints fits nothing.
TEST_F(Import, OrderOfTargets) {
  const auto groups = [&](const std::string& first) {
    return R"("a": {"targets": [")" + first + R"(", "model.language_model.layers.1.mlp.up_proj"], )" + kInt4 +
           R"(}, "b": {"targets": ["Linear"], )" + kInt8 + "}";
  };
  Formats formats =
      read(Kind::compressed_tensors, compressed(groups("re:model[.]language_model[.]layers[.]0[.]"), ""));
  EXPECT_EQ(format(formats, "model.layers.0.mlp.up_proj"), "w4a16_g128");
  EXPECT_EQ(format(formats, "model.layers.1.mlp.up_proj"), "w4a16_g128");
  EXPECT_EQ(format(formats, "model.layers.1.mlp.gate_proj"), "w8a8_dynamic");
  EXPECT_EQ(format(formats, "lm_head"), "w8a8_dynamic");
  expect_refused(Kind::compressed_tensors, compressed(groups("re:layers[.]0[.]"), ""),
                 "no op matches the target");
  formats = read(Kind::compressed_tensors,
                 compressed(R"("a": {"targets": ["Linear"], )" + kInt8 + "}", R"("re:visual.*")"));
  EXPECT_EQ(format(formats, "visual.blocks.0.attn.qkv"), "w8a8_dynamic") << "its module is model.visual...";
}

TEST_F(Import, RefusesOfCompressedTensors) {
  const auto group = [](const std::string& scheme) {
    return compressed(R"("g": {"targets": ["Linear"], )" + scheme + "}", "");
  };
  expect_refused(Kind::compressed_tensors, group(R"("weights": {"num_bits": 3, "strategy": "channel"})"),
                 "config_groups: g: no format here is");
  expect_refused(Kind::compressed_tensors, group(R"("weights": {"num_bits": 8, "size": 3})"),
                 "unknown key \"size\"");
  expect_refused(Kind::compressed_tensors, group(kInt8 + R"(, "output_activations": {"num_bits": 8})"),
                 "output_activations");
  expect_refused(Kind::compressed_tensors, R"({"quant_method": "compressed-tensors"})", "config_groups");
  expect_refused(Kind::compressed_tensors, R"({"quant_method": "gptq", "config_groups": {}})",
                 "quant_method");
  expect_refused(Kind::compressed_tensors, compressed(R"("g": {"targets": ["re:("], )" + kInt8 + "}", ""),
                 "no regular expression");
}

std::string entry(const std::string& name, const std::string& more) {
  return "  - {quantizer_name: '" + name + "', " + more + "}\n";
}
const std::string kOff = "quant_cfg:\n" + entry("*", "enable: false");
const std::string kPerRow = "cfg: {num_bits: 8, axis: 0}",
                  kPerToken = "cfg: {num_bits: 8, type: dynamic, block_sizes: {-1: null}}";

// The later entry wins, `enable` alone leaves what was set.
TEST_F(Import, OrderOfModelOptsEntries) {
  const Formats formats =
      read(Kind::modelopt,
           "algorithm: max\n" + kOff + entry("*language_model*weight_quantizer", kPerRow) +
               entry("*layers.[01].*input_quantizer", kPerToken) + entry("*mlp*", "enable: false") +
               entry("*layers.3.mlp.up_proj.weight_quantizer", "enable: true") +
               entry("*layers.2.mlp*weight_quantizer", "cfg: {num_bits: '(4, 3)'}, parent_class: nn.Linear") +
               entry("*layers.2.mlp*input_quantizer", "cfg: {num_bits: [4, 3]}"));
  EXPECT_EQ(format(formats, "model.layers.0.self_attn.q_proj"), "w8a8_dynamic");
  EXPECT_EQ(format(formats, "model.layers.4.self_attn.q_proj"), "w8a16");
  EXPECT_EQ(format(formats, "model.layers.4.mlp.up_proj"), "float");
  EXPECT_EQ(format(formats, "model.layers.3.mlp.up_proj"), "w8a16");
  EXPECT_EQ(format(formats, "model.layers.2.mlp.up_proj"), "fp8_tensor");
  EXPECT_EQ(format(formats, "visual.blocks.0.attn.qkv"), "float");
  // Maps of older versions: `default` is of what nothing else fits.
  const Formats older =
      read(Kind::modelopt,
           "{quant_cfg: {'*o_proj.weight_quantizer': {num_bits: 8, axis: 0}, default: {enable: false}}}");
  EXPECT_EQ(format(older, "model.layers.0.self_attn.o_proj"), "w8a16");
  EXPECT_EQ(format(older, "model.layers.0.self_attn.q_proj"), "float");
}

TEST_F(Import, RefusesOfModelOpt) {
  expect_refused(Kind::modelopt,
                 kOff + entry("*.layers.2.mlp*weight_quantizer", kPerRow + ", parent_class: nn.Conv3d"),
                 "fits no quantizer of an op");
  expect_refused(Kind::modelopt, kOff + entry("*q_proj.weight_quantizer", "cfg: {num_bits: 5, axis: 0}"),
                 "model.layers.0.self_attn.q_proj: no format here is");
  expect_refused(Kind::modelopt, kOff + entry("*q_proj.weight_quantizer", "cfg: {num_bits: 8, rotate: true}"),
                 "unknown key \"rotate\"");
  expect_refused(Kind::modelopt, kOff + entry("*q_proj.output_quantizer", kPerRow), "quantizes outputs");
  expect_refused(Kind::modelopt, kOff + entry("*[kv]_bmm_quantizer", kPerRow), "fits no quantizer of an op");
  expect_refused(Kind::modelopt, "quantize:\n  algorithm: max\n  $import: units/x\n",
                 "unknown key \"$import\"");
  expect_refused(Kind::modelopt, "quant_cfg:\n" + entry("*input_quantizer", "enable: false"),
                 "no format here is");
  expect_refused(Kind::modelopt, "quant_cfg: [1,", "recipe.yaml:");
}

const std::string kFloatKeys = R"("bits": 16, "act_bits": 16)";

TEST_F(Import, NamesOfAutoRound) {
  const Formats formats = read(
      Kind::auto_round,
      R"({"layers.": {)" + kFloatKeys +
          R"(}, "mlp.*up": {"bits": 4, "group_size": 32}, "model.layers.1.mlp.up_proj": {"bits": 8, "group_size": -1}, "layers.1": {)" +
          kFloatKeys + "}}");
  EXPECT_EQ(format(formats, "model.layers.0.mlp.up_proj"), "w4a16_g32") << "found anywhere, the last wins";
  EXPECT_EQ(format(formats, "model.layers.1.mlp.up_proj"), "w8a16") << "a full name wins";
  EXPECT_EQ(format(formats, "model.layers.0.mlp.down_proj"), "float");
  EXPECT_EQ(format(formats, "lm_head"), "float");
  expect_refused(Kind::auto_round, R"({"self_attn": {"bits": 4, "group_size": 32}})",
                 "mlp.gate_proj is not named");
  expect_refused(Kind::auto_round, R"({"layers.": {"bits": 4}})", "group_size");
  expect_refused(Kind::auto_round, R"({"layers.": {"bits": 4, "group_size": 32, "super_bits": 6}})",
                 "unknown key \"super_bits\"");
  expect_refused(Kind::auto_round, R"({"layers.": {"bits": 2, "group_size": 32}})", "no format here is");
  expect_refused(Kind::auto_round, R"({"experts": {"bits": 4, "group_size": 32}})", "no op matches");
}

TEST_F(Import, OtherKindsAreRefused) {
  EXPECT_THROW(import_recipe(Kind::llama_cpp, model, "x"), Error);
  EXPECT_THROW(import_recipe(Kind::modelopt, model, place.at("none.yaml")), Error);
}

TEST(Yaml, IsTheJsonThatItMeans) {
  EXPECT_EQ(parse_yaml("{a: [1, -2.5, yes, 'true', true, ~, x y], -1: null}", "t").dump(),
            R"({"a":[1,-2.5,"yes","true",true,null,"x y"],"-1":null})");
  for (const char* bad : {"{a: 1, a: 2}", "{[1]: 2}", "a: !!python/object x", "a: [", "&a [*a]", "a: \xff",
                          "\xff: a", "a: !\xff x", "a: \"\\ud800\""})
    EXPECT_THROW(parse_yaml(bad, "t"), Error) << bad;
}

TEST(Yaml, DocumentsThatAliasesBlowUpAreRefused) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    text += fmt::format("a{}: &a{} [", i, i);
    for (int k = 0; k < 9; ++k) text += fmt::format("*a{}, ", i - 1);
    text += "x]\n";
  }
  EXPECT_THROW(parse_yaml(text, "t"), Error);
}

}  // namespace
}  // namespace qsweep::stacks
