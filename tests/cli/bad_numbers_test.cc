// Weights and values that are no numbers end a run before anything is scored.
#include <cstring>

#include <gmock/gmock.h>

#include "bad_input.h"

namespace qsweep::cli {
namespace {

using io::Json;

constexpr uint16_t kNan = 0x7fc0, kInfinity = 0x7f80, kMinusInfinity = 0xff80, kLargest = 0x7f7f;  // bf16

// Sets n elements of a tensor of bf16, from this one on.
void poke(const std::string& model, const std::string& tensor, size_t index, uint16_t bits, size_t n = 1) {
  RawSafetensors raw = RawSafetensors::read(model + "/model.safetensors");
  const Json header = io::parse_json(raw.header, model);
  const size_t begin = header[tensor]["data_offsets"][0];
  for (size_t i = index; i < index + n; ++i) std::memcpy(raw.data.data() + begin + 2 * i, &bits, sizeof bits);
  raw.write(model + "/model.safetensors");
}

class BadNumbers : public BadInput {
 protected:
  // Expects that score and eval refuse the model in every way of using it.
  void expect_refused_everywhere(const std::string& tensor, size_t index, uint16_t bits,
                                 const std::vector<std::string>& words) const {
    const std::string model = place.copy_model("model");
    poke(model, tensor, index, bits);
    for (const char* method : {"exact", "adjoint", "fisher", "hawq", "local", "auto"})
      expect_refused(score(model, with_images, {"--method", method}), words);
    expect_refused({"eval", model, "--data", captions, "--recipe", testdata("recipes/mixed.json"), "--out",
                    place.at("run"), "--samples", "1"},
                   words);
    std::filesystem::remove_all(model);
  }
};

TEST_F(BadNumbers, AWeightThatIsNan) {
  expect_refused_everywhere(
      "model.layers.2.mlp.down_proj.weight", 3 * 352 + 5, kNan,
      {"tensor \"model.layers.2.mlp.down_proj.weight\"", "expected finite weights, found NaN at [3, 5]"});
}

TEST_F(BadNumbers, EveryKindOfTensor) {
  const auto expect = [&](const std::string& tensor, size_t index, uint16_t bits, const std::string& found) {
    expect_model_refused([&](const std::string& model) { poke(model, tensor, index, bits); },
                         {"tensor \"" + tensor + "\"", found});
  };
  expect("model.norm.weight", 127, kInfinity, "an infinity at [127]");
  expect("model.layers.5.self_attn.k_proj.bias", 0, kMinusInfinity, "an infinity at [0]");
  expect("model.embed_tokens.weight", 1087 * 128 + 1, kNan, "NaN at [1087, 1]");  // no text has this token
  expect("visual.patch_embed.proj.weight", 0, kNan, "NaN at [0, 0, 0, 0, 0]");    // the data has no images
  expect("visual.blocks.3.norm2.weight", 5, kNan, "NaN at [5]");
  expect("visual.merger.mlp.2.bias", 7, kNan, "NaN at [7]");
}

TEST_F(BadNumbers, TheFirstOfSeveralIsNamed) {
  expect_model_refused(
      [](const std::string& model) {
        poke(model, "model.layers.5.mlp.up_proj.weight", 0, kNan);
        poke(model, "model.layers.1.mlp.up_proj.weight", 300, kNan);
        poke(model, "model.layers.1.mlp.up_proj.weight", 200, kNan);
      },
      {"model.layers.1.mlp.up_proj.weight", "NaN at [1, 72]"});
}

// All weights are finite, but what they give is not.
TEST_F(BadNumbers, AReferenceThatOverflows) {
  const std::string model = place.copy_model("model");
  poke(model, "model.layers.2.mlp.down_proj.weight", 3 * 352, kLargest, 352);
  const std::vector<std::string> words{"model.layers.2.mlp.down_proj",
                                       "expected finite values of the float model"};
  const auto expect = [&](const Arguments& more, std::vector<std::string> all) {
    Arguments arguments{"score", model,           "--data", captions,
                        "--out", place.at("new"), "--ops",  "model.layers.0.*"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    all.insert(all.end(), words.begin(), words.end());
    const Outcome outcome = run_qsweep(arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    for (const std::string& word : all) EXPECT_THAT(outcome.err, ::testing::HasSubstr(word));
    EXPECT_FALSE(std::filesystem::exists(place.at("new/scores.json")));
    std::filesystem::remove_all(place.at("new"));
  };
  expect({"--samples", "3"}, {"sample \"line-1\""});
  expect({"--samples", "3", "--format", "w8a8_dynamic"}, {"sample \"line-1\""});
  for (const char* method : {"adjoint", "local", "hawq"})
    expect({"--samples", "1", "--method", method}, {"sample \"line-1\""});
  const std::string calib = place.write("calib.jsonl", R"({"id": "c", "input_ids": [5, 6, 7]})");
  expect({"--samples", "1", "--calib", calib}, {"sample \"c\""});
}

}  // namespace
}  // namespace qsweep::cli
