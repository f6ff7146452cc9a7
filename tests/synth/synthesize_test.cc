// Synthetic checkpoints of tiny configs.
#include "synth/synthesize.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "activations.h"
#include "io/json.h"
#include "models/outline.h"
#include "support/temporary_folder.h"

namespace qsweep::synth {
namespace {

namespace fs = std::filesystem;
using io::Json;
using testing::read_text;

const std::string kData = QSWEEP_TESTDATA;

auto fails_with(const std::string& part) {
  return ::testing::ThrowsMessage<Error>(::testing::HasSubstr(part));
}

class Synthesize : public ::testing::Test {
 protected:
  Synthesize() {
    use(kData + "/tiny-qwen2.5-vl", [](Json&) {});
  }
  std::string at(const std::string& name) const { return place_.at(name); }
  // Makes the folder "config" from a model's config.json, changed, and its preprocessor.
  void use(const std::string& model, const std::function<void(Json&)>& edit) const {
    fs::create_directories(at("config"));
    Json config = io::read_json_file(model + "/config.json");
    edit(config);
    std::ofstream(at("config/config.json")) << config;
    std::ofstream(at("config/preprocessor_config.json")) << read_text(model + "/preprocessor_config.json");
  }
  models::Model make(const std::string& name, const Options& options = {}) const {
    synthesize(at("config"), at(name), options);
    return models::load(at(name));
  }
  // The only folder is "config", so nothing was left behind.
  void expect_refused(const Options& options, const std::string& reason) const {
    EXPECT_THAT([&] { synthesize(at("config"), at("out"), options); }, fails_with(reason));
    EXPECT_EQ(place_.entries(), 1) << reason;
  }

 private:
  testing::TemporaryFolder place_;
};

void expect_same_tensors(const io::Checkpoint& found, const io::Checkpoint& expected) {
  EXPECT_EQ(found.names(), expected.names());
  for (const std::string& name : expected.names())
    EXPECT_EQ(found.get(name, expected.find(name)->shape).dtype, DType::bf16);
}

TEST_F(Synthesize, HasTheTensorsOfTheRealCheckpoint) {
  expect_same_tensors(make("out").checkpoint, io::Checkpoint::open(kData + "/tiny-qwen2.5-vl"));
  const std::string untied = kData + "/families/qwen2_5_vl";
  use(untied, [](Json&) {});
  expect_same_tensors(make("untied").checkpoint, io::Checkpoint::open(untied));
}

TEST_F(Synthesize, TheSeedAloneDecides) {
  const auto weights = [&](const std::string& name, const Options& options) {
    make(name, options);
    return read_text(at(name + "/model.safetensors"));
  };
  const std::string one = weights("1", {.seed = 5, .threads = {1}});
  EXPECT_TRUE(weights("2", {.seed = 5, .threads = {3}}) == one);
  EXPECT_FALSE(weights("3", {.seed = 6, .threads = {1}}) == one);
}

TEST_F(Synthesize, ReadsCaptionsAndImages) {
  const models::Model model = make("out");
  const auto captions = text::read_dataset(kData + "/data/captions.txt", 1);
  const auto ids = model.inputs->prepare(captions[0]).token_ids;
  EXPECT_GT(ids.size(), 10u);
  const auto samples = text::read_dataset(kData + "/data/eval.jsonl", 1);
  const models::Sample sample = model.inputs->prepare(samples[0]);
  EXPECT_EQ(sample.image_grids.size(), 1u);
  EXPECT_GT(std::count(sample.token_ids.begin(), sample.token_ids.end(), 1054), 0);  // image_token_id
  EXPECT_EQ(sample.token_ids[0], 1049);                                              // <|im_start|>
  EXPECT_GT(std::count(sample.answer_mask.begin(), sample.answer_mask.end(), 1), 0);
}

TEST_F(Synthesize, CopiesATokenizer) {
  const std::string tokenizer = read_text(kData + "/tiny-qwen2.5-vl/tokenizer.json");
  std::ofstream(at("config/tokenizer.json")) << tokenizer;
  make("out");
  EXPECT_EQ(read_text(at("out/tokenizer.json")), tokenizer);
  EXPECT_EQ(read_text(at("out/preprocessor_config.json")), read_text(at("config/preprocessor_config.json")));
}

// Wide enough for outlier channels, deep enough to see growth.
TEST_F(Synthesize, ActivationsStaySane) {
  use(kData + "/tiny-qwen2.5-vl", [](Json& config) {
    config["hidden_size"] = config["vision_config"]["out_hidden_size"] = 512;
    config["num_attention_heads"] = 16;
    config["num_key_value_heads"] = 2;
    config["num_hidden_layers"] = 24;
    config["intermediate_size"] = 768;
  });
  const models::Model model = make("out");
  const auto data = text::read_dataset(kData + "/data/eval.jsonl", 1);
  for (const auto& [stage, size] : stage_sizes(model, data[0])) {
    if (stage == "model.embed_tokens") continue;  // far smaller than what the layers add, as trained
    EXPECT_TRUE(size > 0.2 && size < 20) << stage << ": " << size;
  }
}

TEST_F(Synthesize, OnlyTheFirstLayers) {
  const Options options{.layers = 4, .vision_layers = 4};
  const models::Model model = make("out", options);
  EXPECT_NE(model.checkpoint.find("model.layers.3.mlp.up_proj.weight"), nullptr);
  EXPECT_EQ(model.checkpoint.find("model.layers.4.mlp.up_proj.weight"), nullptr);
  EXPECT_EQ(model.checkpoint.find("visual.blocks.4.mlp.up_proj.weight"), nullptr);
  const Json config = io::read_json_file(at("out/config.json"));
  EXPECT_EQ(config["num_hidden_layers"], 4);
  EXPECT_EQ(config["vision_config"]["depth"], 4);
  EXPECT_EQ(config["vision_config"]["fullatt_block_indexes"], Json({2}));  // of 2, 5
  use(kData + "/families/qwen2_5_vl", [](Json&) {});
  make("nested", {.layers = 1, .vision_layers = 1});
  const Json nested = io::read_json_file(at("nested/config.json"));
  EXPECT_EQ(nested["text_config"]["num_hidden_layers"], 1);
  EXPECT_EQ(nested["text_config"]["layer_types"], Json({"full_attention"}));
  EXPECT_EQ(nested["vision_config"]["fullatt_block_indexes"], Json({0}));  // of 1
}

TEST_F(Synthesize, RefusesWithoutLeavingAnything) {
  expect_refused({.layers = 7}, "config.json: expected 1 to \"num_hidden_layers\" 6 layers to keep, found 7");
  expect_refused({.vision_layers = 7}, "vision_config: expected 1 to \"depth\" 6 layers to keep, found 7");
  const std::string tiny = kData + "/tiny-qwen2.5-vl";
  use(tiny, [](Json& config) { config["model_type"] = "gpt2"; });
  expect_refused({}, "config.json: model_type \"gpt2\" is not supported");
  use(tiny, [](Json& config) { config["hidden_act"] = "relu"; });
  expect_refused({}, "\"hidden_act\"");
  use(tiny, [](Json& config) { config["video_token_id"] = config["image_token_id"]; });
  expect_refused({}, "\"video_token_id\": <|image_pad|> and <|video_pad|> would both have id 1054");
  use(tiny, [](Json& config) {
    config["vocab_size"] = 200;
    config.erase("bos_token_id");
    int id = 100;
    for (const char* key : {"vision_start", "vision_end", "image", "video"})
      config[std::string(key) + "_token_id"] = id++;
  });
  expect_refused({}, "a stand-in tokenizer.json needs a \"vocab_size\" of");
  use(tiny, [](Json& config) { config["vocab_size"] = 1 << 24, config["intermediate_size"] = 1 << 24; });
  expect_refused({}, "expected room for");
}

TEST_F(Synthesize, ReplacesNoCheckpoint) {
  make("out");
  const std::string config = read_text(at("out/config.json"));
  EXPECT_THAT([&] { make("out", {.seed = 1}); }, fails_with("expected a new or an empty folder"));
  EXPECT_EQ(read_text(at("out/config.json")), config);
}

}  // namespace
}  // namespace qsweep::synth
