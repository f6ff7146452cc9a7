#include "scores/op_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace qsweep::scores {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Names, OfEveryLayoutAndTool) {
  const std::string q = "model.layers.3.self_attn.q_proj";
  for (const char* name :
       {"model.layers.3.self_attn.q_proj", "model.language_model.layers.3.self_attn.q_proj",
        "language_model.model.layers.3.self_attn.q_proj", "language_model.layers.3.self_attn.q_proj",
        "model.language_model.layers.3.self_attn.q_proj.module",
        "model.language_model.layers.3.self_attn.q_proj.quant_recipe",
        "model.language_model.layers.3.self_attn.q_proj.weight",
        "model.language_model.layers.3.self_attn.q_proj.module.weight.quant_recipe"})
    EXPECT_EQ(canonical_name(name), q) << name;
  EXPECT_EQ(canonical_name("model.visual.blocks.0.attn.qkv.module"), "visual.blocks.0.attn.qkv");
  EXPECT_EQ(canonical_name("visual.merger.mlp.0"), "visual.merger.mlp.0");
  for (const char* name : {"lm_head", "lm_head.module", "language_model.lm_head", "model.lm_head.weight"})
    EXPECT_EQ(canonical_name(name), "lm_head") << name;
}

TEST(Names, OthersStayAsTheyAre) {
  for (const char* name : {"", ".module", "module", "transformer.h.0.mlp", "model.visualization.proj"})
    EXPECT_EQ(canonical_name(name), name);
}

// Modules as transformers 5.14 lists them for each family; 4.57 does, but for gemma3's vision tower.
TEST(Names, ModulesOfEveryFamily) {
  const std::string q = "model.layers.3.self_attn.q_proj",
                    nested = "model.language_model.layers.3.self_attn.q_proj";
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "gemma3_text"})
    EXPECT_EQ(module_name(q, family), q) << family;
  for (const char* family : {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "gemma3", "mistral3"}) {
    EXPECT_EQ(module_name(q, family), nested) << family;
    EXPECT_EQ(module_name("lm_head", family), "lm_head") << family;
  }
  EXPECT_EQ(module_name("visual.blocks.0.attn.qkv", "qwen2_5_vl"), "model.visual.blocks.0.attn.qkv");
  EXPECT_EQ(module_name("vision_tower.encoder.layers.0.mlp.fc1", "gemma3"),
            "model.vision_tower.encoder.layers.0.mlp.fc1");
  EXPECT_EQ(canonical_name("model.vision_tower.vision_model.encoder.layers.0.mlp.fc1"),
            "vision_tower.encoder.layers.0.mlp.fc1");
  EXPECT_EQ(module_name("vision_tower.transformer.layers.0.attention.q_proj", "mistral3"),
            "model.vision_tower.transformer.layers.0.attention.q_proj");
  EXPECT_EQ(module_name("multi_modal_projector.linear_1", "mistral3"),
            "model.multi_modal_projector.linear_1");
  EXPECT_THROW(module_name(q, "mixtral"), Error);
}

TEST(Names, OfModulesAreCanonicalAgain) {
  for (const char* name : {"model.layers.3.mlp.up_proj", "lm_head", "vision_tower.encoder.layers.0.mlp.fc1",
                           "multi_modal_projector.linear_1"})
    for (const char* family : {"gemma3", "mistral3"})
      EXPECT_EQ(canonical_name(module_name(name, family)), name) << family;
}

TEST(Names, FusedWeights) {
  EXPECT_THAT(fused_members("model.layers.0.self_attn.qkv_proj"),
              ElementsAre("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj",
                          "model.layers.0.self_attn.v_proj"));
  EXPECT_THAT(fused_members("visual.blocks.1.mlp.gate_up_proj"),
              ElementsAre("visual.blocks.1.mlp.gate_proj", "visual.blocks.1.mlp.up_proj"));
  EXPECT_THAT(fused_members("visual.blocks.1.attn.qkv"), IsEmpty());
}

const std::vector<std::string> kOps{"visual.blocks.0.attn.qkv",
                                    "visual.merger.mlp.0",
                                    "model.layers.0.self_attn.q_proj",
                                    "model.layers.0.self_attn.k_proj",
                                    "model.layers.0.mlp.up_proj",
                                    "model.layers.10.mlp.up_proj",
                                    "lm_head"};

std::vector<std::string> matched(const std::string& pattern) {
  const std::vector<bool> matching = matching_ops(pattern, kOps);
  std::vector<std::string> names;
  for (size_t op = 0; op < kOps.size(); ++op)
    if (matching[op]) names.push_back(kOps[op]);
  return names;
}

TEST(Names, PatternsAreOverOurNamesFirst) {
  EXPECT_EQ(matched("*"), kOps);
  EXPECT_THAT(matched("model.*"), ElementsAre(kOps[2], kOps[3], kOps[4], kOps[5])) << "no vision, no lm_head";
  EXPECT_THAT(matched("*.mlp.*"), ElementsAre(kOps[1], kOps[4], kOps[5]));
  EXPECT_THAT(matched("lm_head"), ElementsAre("lm_head"));
}

TEST(Names, PatternsOfOtherLayouts) {
  for (const char* prefix :
       {"model.language_model.", "language_model.model.", "language_model.", "*language_model.*"})
    EXPECT_THAT(matched(std::string(prefix) + "layers.0.*"), ElementsAre(kOps[2], kOps[3], kOps[4]))
        << prefix;
  EXPECT_THAT(matched("model.visual.*"), ElementsAre(kOps[0], kOps[1]));
  EXPECT_THAT(matched("model.visual.blocks.?.attn.*"), ElementsAre(kOps[0]));
  EXPECT_THAT(matched("model.language_model.layers.[!0]*"), ElementsAre(kOps[5]));
  EXPECT_THAT(matched("language_model.lm_head"), ElementsAre("lm_head"));
  EXPECT_THAT(matched("model.language_model.layers.0.mlp.up_proj.weight"), ElementsAre(kOps[4]));
  EXPECT_THAT(matched("model.layers.*.up_proj.weight"), ElementsAre(kOps[4], kOps[5]));
}

TEST(Names, PatternsOfFusedOps) {
  EXPECT_THAT(matched("model.layers.0.self_attn.qkv_proj"), ElementsAre(kOps[2], kOps[3]));
  EXPECT_THAT(matched("model.language_model.layers.*.gate_up_proj"), ElementsAre(kOps[4], kOps[5]));
}

TEST(Names, PatternsOfNothing) {
  for (const char* pattern : {"", "up_proj", "model.language_model", "model.language_model.layers.2.*",
                              "model.layers.[0", "lm_head ", ".weight", "transformer.*"})
    EXPECT_THAT(matched(pattern), IsEmpty()) << pattern;
}

}  // namespace
}  // namespace qsweep::scores
