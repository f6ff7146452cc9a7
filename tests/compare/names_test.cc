#include "compare/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qsweep::compare {
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

TEST(Names, FusedWeights) {
  EXPECT_THAT(fused_members("model.layers.0.self_attn.qkv_proj"),
              ElementsAre("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj",
                          "model.layers.0.self_attn.v_proj"));
  EXPECT_THAT(fused_members("visual.blocks.1.mlp.gate_up_proj"),
              ElementsAre("visual.blocks.1.mlp.gate_proj", "visual.blocks.1.mlp.up_proj"));
  EXPECT_THAT(fused_members("visual.blocks.1.attn.qkv"), IsEmpty());
}

}  // namespace
}  // namespace qsweep::compare
