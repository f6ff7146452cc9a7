// Positions, windows and config of Qwen2.5-VL.
#include <filesystem>

#include <gtest/gtest.h>

#include "io/json.h"
#include "io/safetensors.h"
#include "models/bad_config.h"
#include "models/qwen2_5_vl/inputs.h"

namespace qsweep::models::qwen2_5_vl {
namespace {

const std::string kData = QSWEEP_TESTDATA;

Config config_of(const std::string& folder) {
  return read_config(io::read_json_file(kData + "/" + folder + "/config.json"), "config.json");
}

std::vector<Grid> golden_grids(const io::SafetensorsFile& golden) {
  std::vector<Grid> grids;
  if (const auto* entry = golden.find("image_grid_thw")) {
    const auto thw = golden.view(*entry).as<int64_t>();
    for (size_t i = 0; i < thw.size(); i += 3) grids.push_back({thw[i], thw[i + 1], thw[i + 2]});
  }
  return grids;
}

TEST(Positions, EqualEveryGolden) {
  int compared = 0;
  for (const std::string folder : {"tiny-qwen2.5-vl", "families/qwen2_5_vl"}) {
    const Config config = config_of(folder);
    const std::string goldens = kData + (folder == "tiny-qwen2.5-vl" ? "/goldens/forward" : "/" + folder);
    for (const auto& file : std::filesystem::directory_iterator(goldens)) {
      if (file.path().extension() != ".safetensors" || file.path().filename().string().starts_with("model"))
        continue;
      const io::SafetensorsFile golden = io::SafetensorsFile::open(file.path());
      const auto ids = golden.view(*golden.find("input_ids")).as<int64_t>();
      const auto expected = golden.view(*golden.find("position_ids")).as<int64_t>();
      const std::vector<int32_t> tokens(ids.begin(), ids.end());
      const auto positions =
          mrope_positions(tokens, golden_grids(golden), config.images.image_token, config.images.merge());
      for (size_t axis = 0; axis < 3; ++axis)
        for (size_t t = 0; t < tokens.size(); ++t)
          ASSERT_EQ(positions[axis][t], expected[axis * tokens.size() + t])
              << file.path() << " " << axis << " " << t;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 14);
}

TEST(Windows, EqualEveryGolden) {
  int compared = 0;
  const Config config = config_of("tiny-qwen2.5-vl");
  const int64_t unit = config.images.merge() * config.images.merge();
  const int64_t side = config.vision.window_size / config.images.merge() / config.images.geometry.patch_size;
  for (const auto& file : std::filesystem::directory_iterator(kData + "/goldens/forward")) {
    if (file.path().extension() != ".safetensors") continue;
    const io::SafetensorsFile golden = io::SafetensorsFile::open(file.path());
    if (golden.find("visual.window_index") == nullptr) continue;
    const WindowOrder order = window_order(golden_grids(golden), config.images.merge(), side);
    const auto index = golden.view(*golden.find("visual.window_index")).as<int64_t>();
    EXPECT_EQ(std::vector<int64_t>(order.units.begin(), order.units.end()),
              std::vector<int64_t>(index.begin(), index.end()));
    std::vector<int64_t> starts{0};
    for (const int32_t units : order.sizes) starts.push_back(starts.back() + units * unit);
    const TensorView cu = golden.view(*golden.find("visual.cu_window_seqlens"));
    std::vector<int64_t> expected;
    if (cu.dtype == DType::i64) {
      expected.assign(cu.as<int64_t>().begin(), cu.as<int64_t>().end());
    } else {
      expected.assign(cu.as<int32_t>().begin(), cu.as<int32_t>().end());
    }
    EXPECT_EQ(starts, expected);
    ++compared;
  }
  EXPECT_GE(compared, 2);
}

class Refusal : public ::testing::TestWithParam<BadConfig> {};

TEST_P(Refusal, NamesTheKeyAndTheValue) {
  io::Json json = io::read_json_file(kData + "/tiny-qwen2.5-vl/config.json");
  GetParam().apply(json);
  GetParam().expect_refusal([&] { read_config(json, "config.json"); });
}

INSTANTIATE_TEST_SUITE_P(
    Config, Refusal,
    ::testing::Values(
        BadConfig{"/hidden_act", "\"gelu\"",
                  "\"hidden_act\": \"gelu\" is not supported; supported: \"silu\""},
        BadConfig{"/use_sliding_window", "true", "\"use_sliding_window\": true is not supported"},
        BadConfig{"/hidden_size", "", "missing key \"hidden_size\""},
        BadConfig{"/hidden_size", "130",
                  "\"hidden_size\" 130 is not a multiple of \"num_attention_heads\" 4"},
        BadConfig{"/num_key_value_heads", "3", "\"num_attention_heads\" 4 is not a multiple"},
        BadConfig{"/rope_scaling/type", "\"yarn\"", "\"yarn\" is not supported"},
        BadConfig{"/rope_scaling/mrope_section", "[4, 6, 7]",
                  "add up to half the head size 32, found [4, 6, 7]"},
        BadConfig{"/rope_theta", "0", "\"rope_theta\": expected a number above 1"},
        BadConfig{"/vision_config/fullatt_block_indexes", "[2, 6]", "6 is not a block of 6"},
        BadConfig{"/vision_config/out_hidden_size", "64",
                  "expected the language model's hidden_size 128, found 64"},
        BadConfig{"/vision_config/window_size", "14", "\"window_size\" 14 is smaller than a merged patch"},
        BadConfig{"/vision_config", "", "missing key \"vision_config\""},
        BadConfig{"/image_token_id", "5000", "expected a value from 0 to 1087, found 5000"}));

// What changes the meaning, and what nobody knows.
INSTANTIATE_TEST_SUITE_P(
    Keys, Refusal,
    ::testing::Values(
        BadConfig{"/final_logit_softcapping", "30.0", "\"final_logit_softcapping\": 30.0 is not supported"},
        BadConfig{"/attention_multiplier", "0.5", "\"attention_multiplier\": the key is not known"},
        BadConfig{"/embedding_multiplier", "12",
                  "\"embedding_multiplier\": 12 is not supported; supported: 1"},
        BadConfig{"/logits_scaling", "8", "\"logits_scaling\": 8 is not supported"},
        BadConfig{"/mlp_bias", "true", "\"mlp_bias\": true is not supported; supported: false"},
        BadConfig{"/attention_bias", "false", "\"attention_bias\": false is not supported; supported: true"},
        BadConfig{"/partial_rotary_factor", "0.5", "\"partial_rotary_factor\": 0.5 is not supported"},
        BadConfig{"/pruned_heads", R"({"0": [1]})", "\"pruned_heads\": {\"0\":[1]} is not supported"},
        BadConfig{"/auto_map", R"({"AutoModel": "mine.Model"})", "\"auto_map\": the key is not known"},
        BadConfig{"/num_experts", "8", "\"num_experts\": the key is not known"},
        BadConfig{"/unheard_of", "false", "config.json: \"unheard_of\": the key is not known"},
        BadConfig{"/layer_types", R"(["full_attention"])", "expected the types of 6 layers, found 1"},
        BadConfig{"/layer_types",
                  R"(["full_attention","full_attention","sliding_attention","full_attention","full_attention",
                      "full_attention"])",
                  "\"layer_types\": \"sliding_attention\" is not supported"},
        BadConfig{"/rope_scaling/factor", "4", "rope_scaling: \"factor\": 4 is not supported"},
        BadConfig{"/rope_scaling/mrope_interleaved", "true", "\"mrope_interleaved\": true is not supported"},
        BadConfig{"/rope_scaling/long_factor", "[1.5]", "\"long_factor\": the key is not known"},
        BadConfig{"/rope_scaling/rope_type", "\"dynamic\"", "\"dynamic\" is not supported"},
        BadConfig{"/rope_parameters", R"({"rope_type": "default"})",
                  "expected \"rope_parameters\" or \"rope_scaling\", found both"},
        BadConfig{"/rope_scaling/rope_theta", "5000.0", "\"rope_theta\": expected 5000 as in rope_scaling"},
        BadConfig{"/vision_config/mlp_ratio", "4", "vision_config: \"mlp_ratio\": the key is not known"},
        BadConfig{"/vision_config/in_channels", "1",
                  "\"in_channels\": expected a value from 3 to 3, found 1"},
        BadConfig{"/vision_config/in_chans", "4", "\"in_chans\": expected a value from 3 to 3, found 4"},
        BadConfig{"/vision_config/model_type", "\"qwen2_vl\"",
                  "\"model_type\": \"qwen2_vl\" is not supported"},
        BadConfig{"/vision_config/hidden_act", "\"quick_gelu\"", "supported: \"silu\", \"swish\""},
        BadConfig{"/vision_config/rms_norm_eps", "1e-5", "\"rms_norm_eps\": 1e-05 is not supported"},
        BadConfig{
            "/vision_config/rope_parameters", R"({"rope_theta": 5000.0})",
            "vision_config: rope_parameters: \"rope_theta\": 5000.0 is not supported; supported: 10000"},
        BadConfig{"/rms_norm_eps", "-1.0", "\"rms_norm_eps\": expected a number from 0 to below 1, found -1"},
        BadConfig{"/rms_norm_eps", "1e6", "expected a number from 0 to below 1, found 1000000"},
        BadConfig{"/max_position_embeddings", "0", "\"max_position_embeddings\": expected a value from 1"},
        BadConfig{"/max_position_embeddings", "-5", "found -5"},
        BadConfig{"/text_config", R"({"hidden_act": "silu"})",
                  "\"hidden_size\": expected it inside text_config"}));

TEST(Config, KeysWithoutInfluenceAreIgnored) {
  io::Json json = io::read_json_file(kData + "/tiny-qwen2.5-vl/config.json");
  const Config expected = read_config(json, "config.json");
  for (const auto& [key, value] : std::vector<std::pair<const char*, io::Json>>{
           {"torch_dtype", "float16"},
           {"transformers_version", "9.9"},
           {"use_cache", false},
           {"initializer_range", 7},
           {"attention_dropout", 0.5},
           {"architectures", {"AnyForConditionalGeneration"}},
           {"eos_token_id", {1, 2}},
           {"temperature", 0.1},
           {"id2label", {{"0", "LABEL_0"}}},
           {"final_logit_softcapping", nullptr},
           {"logits_scaling", 1.0},
           {"pruned_heads", io::Json::object()},
           {"hidden_act", "swish"},
           {"layer_types", std::vector<std::string>(6, "full_attention")},
           {"unheard_of", nullptr}}) {
    json[key] = value;
    const Config found = read_config(json, "config.json");
    EXPECT_EQ(found.text.norm_eps, expected.text.norm_eps) << key;
    EXPECT_EQ(found.text.rope.axes, expected.text.rope.axes) << key;
  }
  EXPECT_EQ(expected.text.max_positions, 4096);
}

// transformers 4.49 writes of a 7B model's tower no more than these.
TEST(Config, VisionDefaultsAreThoseOfTheClass) {
  io::Json json = io::read_json_file(kData + "/tiny-qwen2.5-vl/config.json");
  json["vision_config"] = {{"hidden_size", 1280},
                           {"in_chans", 3},
                           {"model_type", "qwen2_5_vl"},
                           {"spatial_patch_size", 14},
                           {"tokens_per_second", 2}};
  json["hidden_size"] = 3584;  // of its language model
  json["num_attention_heads"] = 28;
  json["num_key_value_heads"] = 4;
  json["rope_scaling"]["mrope_section"] = {16, 24, 24};
  const Config whole = read_config(json, "config.json");
  const VisionConfig& c = whole.vision;
  EXPECT_EQ(c.depth, 32);
  EXPECT_EQ(c.hidden_size, 1280);
  EXPECT_EQ(c.intermediate_size, 3420);
  EXPECT_EQ(c.n_heads, 16);
  EXPECT_EQ(c.head_dim, 80);
  EXPECT_EQ(whole.images.geometry.patch_size, 14);
  EXPECT_EQ(whole.images.geometry.temporal_patch_size, 2);
  EXPECT_EQ(whole.images.merge(), 2);
  EXPECT_EQ(c.window_size, 112);
  EXPECT_EQ(c.full_attention_blocks, (std::vector<int64_t>{7, 15, 23, 31}));
  json["vision_config"]["depth"] = 20;  // a shallower tower has those of the defaults that it can have
  EXPECT_EQ(read_config(json, "config.json").vision.full_attention_blocks, (std::vector<int64_t>{7, 15}));
}

// What stands beside text_config, as some versions write it, may not say something else.
TEST(Config, RepeatedKeysAgree) {
  const io::Json nested = io::read_json_file(kData + "/families/qwen2_5_vl/config.json");
  const auto error_with = [&](const char* key, const io::Json& value) {
    io::Json json = nested;
    json[key] = value;
    try {
      read_config(json, "config.json");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(error_with("hidden_size", 64), "");
  EXPECT_EQ(error_with("rope_theta", 1000000), "");
  EXPECT_EQ(error_with("sliding_window", 32768), "");
  EXPECT_EQ(error_with("num_hidden_layers", 1),
            "config.json: \"num_hidden_layers\": expected 2 as in text_config, found 1");
  EXPECT_EQ(error_with("rms_norm_eps", 1e-5),
            "config.json: \"rms_norm_eps\": expected 1e-06 as in text_config, found 1e-05");
  EXPECT_EQ(error_with("head_dim", 16), "config.json: \"head_dim\": expected it inside text_config");
  EXPECT_NE(error_with("text_config", {{"model_type", "qwen2"}}).find("\"qwen2\" is not supported"),
            std::string::npos);
}

TEST(Config, OfTransformers5) {
  io::Json json = io::read_json_file(kData + "/families/qwen2_5_vl/config.json");
  const Config expected = read_config(json, "config.json");
  io::Json& text = json["text_config"];
  io::Json rope = text["rope_scaling"];
  rope["rope_theta"] = io::Json(text["rope_theta"]);
  text["rope_parameters"] = rope;
  text.erase("rope_scaling");
  text.erase("rope_theta");
  text["pad_token_id"] = nullptr;
  json["vision_config"]["model_type"] = "qwen2_5_vl_vision";
  json["vision_config"]["rope_parameters"] = {{"rope_theta", 10000.0}, {"rope_type", "axial"}};
  const Config found = read_config(json, "config.json");
  EXPECT_EQ(found.text.rope.frequencies, expected.text.rope.frequencies);
  EXPECT_EQ(found.text.rope.axes, expected.text.rope.axes);
  EXPECT_EQ(found.text.max_positions, 512);
}

TEST(Config, BothLayoutsGiveTheSame) {
  io::Json flat = io::read_json_file(kData + "/tiny-qwen2.5-vl/config.json");
  io::Json nested = flat;
  io::Json text = flat;
  for (const char* key : {"vision_config", "image_token_id", "video_token_id"}) text.erase(key);
  for (const auto& [key, value] : text.items())
    if (key != "model_type") nested.erase(key);
  nested["text_config"] = text;
  const Config a = read_config(flat, "flat"), b = read_config(nested, "nested");
  EXPECT_EQ(a.text.hidden_size, b.text.hidden_size);
  EXPECT_EQ(a.text.rope.axes, b.text.rope.axes);
  EXPECT_EQ(a.text.tie_word_embeddings, b.text.tie_word_embeddings);
  EXPECT_EQ(a.text.rope.frequencies, b.text.rope.frequencies);
  // The newest layout keeps the positions' settings together.
  io::Json newest = nested;
  io::Json rope = text["rope_scaling"];
  rope["rope_theta"] = text["rope_theta"];
  rope["rope_type"] = "default";
  newest["text_config"].erase("rope_scaling");
  newest["text_config"].erase("rope_theta");
  newest["text_config"]["rope_parameters"] = rope;
  const Config c = read_config(newest, "newest");
  EXPECT_EQ(a.text.rope.frequencies, c.text.rope.frequencies);
  EXPECT_EQ(a.text.rope.axes, c.text.rope.axes);
}

}  // namespace
}  // namespace qsweep::models::qwen2_5_vl
