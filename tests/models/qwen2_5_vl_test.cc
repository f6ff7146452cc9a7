// Positions, windows and config of Qwen2.5-VL.
#include <filesystem>

#include <gtest/gtest.h>

#include "io/json.h"
#include "io/safetensors.h"
#include "models/qwen2_5_vl/inputs.h"

namespace qsweep::models::qwen2_5_vl {
namespace {

const std::string kData = QSWEEP_TESTDATA;

Config config_of(const std::string& folder) {
  return read_config(io::read_json_file(kData + "/" + folder + "/config.json"), "config.json");
}

std::vector<Grid> grids_of(const io::SafetensorsFile& golden) {
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
          mrope_positions(tokens, grids_of(golden), config.image_token_id, config.vision.spatial_merge_size);
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
  for (const auto& file : std::filesystem::directory_iterator(kData + "/goldens/forward")) {
    if (file.path().extension() != ".safetensors") continue;
    const io::SafetensorsFile golden = io::SafetensorsFile::open(file.path());
    if (golden.find("visual.window_index") == nullptr) continue;
    const WindowOrder order = window_order(grids_of(golden), config.vision);
    const auto index = golden.view(*golden.find("visual.window_index")).as<int64_t>();
    EXPECT_EQ(std::vector<int64_t>(order.units.begin(), order.units.end()),
              std::vector<int64_t>(index.begin(), index.end()));
    std::vector<int64_t> starts{0};
    for (const int32_t units : order.sizes)
      starts.push_back(starts.back() + units * config.vision.merge_unit());
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

struct BadConfig {
  const char* pointer;  // JSON pointer of what is changed
  const char* value;    // JSON text; empty: removed
  const char* message;
};

class Refusal : public ::testing::TestWithParam<BadConfig> {};

TEST_P(Refusal, NamesTheKeyAndTheValue) {
  io::Json json = io::read_json_file(kData + "/tiny-qwen2.5-vl/config.json");
  const io::Json::json_pointer at(GetParam().pointer);
  if (*GetParam().value == '\0') {
    json.at(at.parent_pointer()).erase(at.back());
  } else {
    json[at] = io::Json::parse(GetParam().value);
  }
  try {
    read_config(json, "config.json");
    FAIL() << GetParam().pointer << " was accepted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(GetParam().message), std::string::npos) << e.what();
  }
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
  EXPECT_EQ(a.text.mrope_section, b.text.mrope_section);
  EXPECT_EQ(a.tie_word_embeddings, b.tie_word_embeddings);
  EXPECT_EQ(a.text.rope_theta, b.text.rope_theta);
  // The newest layout keeps the positions' settings together.
  io::Json newest = nested;
  io::Json rope = text["rope_scaling"];
  rope["rope_theta"] = text["rope_theta"];
  rope["rope_type"] = "default";
  newest["text_config"].erase("rope_scaling");
  newest["text_config"].erase("rope_theta");
  newest["text_config"]["rope_parameters"] = rope;
  const Config c = read_config(newest, "newest");
  EXPECT_EQ(a.text.rope_theta, c.text.rope_theta);
  EXPECT_EQ(a.text.mrope_section, c.text.mrope_section);
}

}  // namespace
}  // namespace qsweep::models::qwen2_5_vl
