// What a family does not compute is refused by the name of its key.
#include <fstream>

#include <gtest/gtest.h>

#include "models/bad_config.h"
#include "models/model.h"
#include "support/changed_model.h"
#include "support/testdata.h"

namespace qsweep::models {
namespace {

struct Refusal {
  const char* family;  // of testdata/families
  BadConfig bad;
};

void PrintTo(const Refusal& refusal, std::ostream* out) {
  *out << refusal.family << ' ';
  PrintTo(refusal.bad, out);
}

class FamilyRefusals : public ::testing::TestWithParam<Refusal> {};

TEST_P(FamilyRefusals, NameTheKeyAndTheValue) {
  const auto& [family, bad] = GetParam();
  const testing::ChangedModel model(testing::testdata_folder() + "/families/" + family,
                                    [&](const std::string& folder) {
                                      io::Json json = io::read_json_file(folder + "/config.json");
                                      bad.apply(json);
                                      std::ofstream(folder + "/config.json") << json.dump();
                                    });
  bad.expect_refusal([&] { models::load(model.path()); });
}

INSTANTIATE_TEST_SUITE_P(
    Config, FamilyRefusals,
    ::testing::Values(
        Refusal{"llama", {"/attention_bias", "true", "q_proj.bias\" is missing; expected shape [64]"}},
        Refusal{
            "llama",
            {"/rope_scaling", R"({"rope_type": "longrope", "factor": 4})", "\"longrope\" is not supported"}},
        Refusal{"llama",
                {"/rope_scaling", R"({"rope_type": "yarn", "factor": 4})",
                 "missing key \"original_max_position_embeddings\""}},
        Refusal{"gpt_oss", {"/rope_scaling/mscale", "1", "\"mscale\""}},
        Refusal{"gpt_oss", {"/rope_scaling/beta_fast", "0", "\"beta_fast\": expected a number above 0"}},
        Refusal{"gpt_oss", {"/attention_bias", "false", "\"attention_bias\""}},
        Refusal{"gpt_oss", {"/swiglu_alpha", "1.5", "\"swiglu_alpha\""}},
        Refusal{"gpt_oss", {"/swiglu_limit", "0", "\"swiglu_limit\": expected a number above 0, found 0"}},
        Refusal{"gpt_oss", {"/experts_per_token", "3", "expected one number, found 2 and 3"}},
        Refusal{"gpt_oss", {"/num_experts_per_tok", "7", "num_experts_per_tok"}},
        Refusal{"gpt_oss", {"/norm_topk_prob", "true", "norm_topk_prob"}},
        Refusal{"qwen3", {"/use_sliding_window", "true", "missing key \"sliding_window\""}},
        Refusal{"gemma3_text",
                {"/hidden_activation", "\"silu\"", "\"hidden_activation\": \"silu\" is not supported"}},
        Refusal{"gemma3_text",
                {"/query_pre_attn_scalar", "0", "\"query_pre_attn_scalar\": expected a positive"}},
        Refusal{"gemma3",
                {"/mm_tokens_per_image", "10", "6 patches per side do not give 10 tokens per image"}},
        Refusal{"mistral3", {"/vision_feature_layer", "-2", "\"vision_feature_layer\": -2 is not supported"}},
        Refusal{"mistral3",
                {"/vision_config/hidden_act", "\"gelu\"", "\"hidden_act\": \"gelu\" is not supported"}},
        Refusal{"qwen2_vl",
                {"/vision_config/hidden_size", "32", "expected the language model's hidden_size"}},
        Refusal{"qwen2_vl", {"/vision_config/embed_dim", "30", "head size 15 is not a multiple of 4"}},
        Refusal{"qwen3_vl",
                {"/vision_config/num_position_embeddings", "35", "expected a square number, found 35"}},
        Refusal{"qwen3_vl",
                {"/vision_config/deepstack_visual_indexes", "[0, 4]",
                 "expected different ones of 4 blocks, found 4"}},
        Refusal{"qwen3_vl",
                {"/vision_config/deepstack_visual_indexes", "[0, 1, 2]",
                 "expected at most one per decoder layer, 2, found 3"}},
        // Without the key, those of the class.
        Refusal{"qwen3_vl",
                {"/vision_config/deepstack_visual_indexes", "",
                 "expected different ones of 4 blocks, found 8"}}));

}  // namespace
}  // namespace qsweep::models
