// What a family does not compute is refused by the name of its key.
#include <fstream>

#include <gtest/gtest.h>

#include "io/json.h"
#include "models/model.h"
#include "support/changed_model.h"
#include "support/testdata.h"

namespace qsweep::models {
namespace {

struct BadConfig {
  const char* family;   // of testdata/families
  const char* pointer;  // JSON pointer of what is changed
  const char* value;    // JSON text; empty: removed
  const char* message;
};

void PrintTo(const BadConfig& bad, std::ostream* out) {
  *out << bad.family << ' ' << bad.pointer << ' ' << bad.value;
}

class FamilyRefusals : public ::testing::TestWithParam<BadConfig> {};

TEST_P(FamilyRefusals, NameTheKeyAndTheValue) {
  const BadConfig& bad = GetParam();
  const testing::ChangedModel model(testing::testdata_folder() + "/families/" + bad.family,
                                    [&](const std::string& folder) {
                                      io::Json json = io::read_json_file(folder + "/config.json");
                                      const io::Json::json_pointer at(bad.pointer);
                                      if (*bad.value == '\0') {
                                        json.at(at.parent_pointer()).erase(at.back());
                                      } else {
                                        json[at] = io::Json::parse(bad.value);
                                      }
                                      std::ofstream(folder + "/config.json") << json.dump();
                                    });
  try {
    models::load(model.path());
    FAIL() << bad.pointer << " was accepted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(bad.message), std::string::npos) << e.what();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Config, FamilyRefusals,
    ::testing::Values(
        BadConfig{"llama", "/attention_bias", "true", "q_proj.bias\" is missing; expected shape [64]"},
        BadConfig{"llama", "/rope_scaling", R"({"rope_type": "yarn", "factor": 4})",
                  "\"yarn\" is not supported"},
        BadConfig{"qwen3", "/use_sliding_window", "true", "missing key \"sliding_window\""},
        BadConfig{"gemma3_text", "/hidden_activation", "\"silu\"",
                  "\"hidden_activation\": \"silu\" is not supported"},
        BadConfig{"gemma3_text", "/query_pre_attn_scalar", "0",
                  "\"query_pre_attn_scalar\": expected a positive"},
        BadConfig{"gemma3", "/mm_tokens_per_image", "10",
                  "6 patches per side do not give 10 tokens per image"},
        BadConfig{"mistral3", "/vision_feature_layer", "-2", "\"vision_feature_layer\": -2 is not supported"},
        BadConfig{"mistral3", "/vision_config/hidden_act", "\"gelu\"",
                  "\"hidden_act\": \"gelu\" is not supported"},
        BadConfig{"qwen2_vl", "/vision_config/hidden_size", "32",
                  "expected the language model's hidden_size"},
        BadConfig{"qwen2_vl", "/vision_config/embed_dim", "30", "head size 15 is not a multiple of 4"},
        BadConfig{"qwen3_vl", "/vision_config/num_position_embeddings", "35",
                  "expected a square number, found 35"},
        BadConfig{"qwen3_vl", "/vision_config/deepstack_visual_indexes", "[0, 4]",
                  "expected different ones of 4 blocks, found 4"},
        BadConfig{"qwen3_vl", "/vision_config/deepstack_visual_indexes", "[0, 1, 2]",
                  "expected at most one per decoder layer, 2, found 3"},
        // Without the key, those of the class.
        BadConfig{"qwen3_vl", "/vision_config/deepstack_visual_indexes", "",
                  "expected different ones of 4 blocks, found 8"}));

}  // namespace
}  // namespace qsweep::models
