// The same model in the ways in which checkpoints are stored.
#include <filesystem>

#include <gmock/gmock.h>

#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using testing::HasSubstr;

class Layouts : public testing::Test {
 protected:
  const std::string tiny = testdata("tiny-qwen2.5-vl");
  const Arguments with_images{"--data", testdata("data/eval.jsonl"), "--samples", "2"};
  const Workplace place;
};

// As newer transformers write it: the language model's keys under text_config, other tensor names.
void convert_to_nested(const std::string& model) {
  edit_json(model + "/config.json", [](io::Json& config) {
    io::Json top = io::Json::object(), text = io::Json::object();
    for (const auto& [key, value] : config.items()) {
      const bool of_both = key == "model_type" || key == "architectures" || key == "vision_config" ||
                           key == "tie_word_embeddings" || key.ends_with("_token_id");
      (of_both ? top : text)[key] = value;
    }
    top["text_config"] = text;
    config = top;
  });
  edit_header(model + "/model.safetensors", [](io::Json& header) {
    io::Json renamed = io::Json::object();
    for (const auto& [name, entry] : header.items()) {
      const bool vision = name.starts_with("visual.");
      const bool language = name.starts_with("model.");
      renamed[vision ? "model." + name : language ? "model.language_model." + name.substr(6) : name] = entry;
    }
    header = renamed;
  });
}

// Rewrites the weights in another floating-point type.
void convert_weights(const std::string& model, DType dtype) {
  const std::string path = model + "/model.safetensors";
  std::vector<Tensor> storage;
  std::vector<io::NamedTensor> tensors;
  const io::SafetensorsFile file = io::SafetensorsFile::open(path);
  for (const io::TensorEntry& entry : file.entries()) {
    const TensorView from = file.view(entry);
    Tensor to(dtype, entry.shape);
    for (size_t i = 0; i < static_cast<size_t>(from.elements()); ++i) {
      const float value = to_float(from.as<bf16>()[i]);
      if (dtype == DType::f32) {
        to.as<float>()[i] = value;
      } else {
        to.as<f16>()[i] = to_f16(value);
      }
    }
    storage.push_back(std::move(to));
    tensors.push_back({entry.name, storage.back().view()});
  }
  io::write_safetensors(path, tensors);
}

TEST_F(Layouts, NestedConfigAndNewNames) {
  const std::string nested = place.copy_model("nested");
  convert_to_nested(nested);
  const ScoreRun flat_run = score_run(place, "flat", tiny, with_images);
  const ScoreRun nested_run = score_run(place, "run", nested, with_images);
  EXPECT_TRUE(nested_run.scores() == flat_run.scores());
  EXPECT_TRUE(nested_run.json["ops"] == flat_run.json["ops"]);
  EXPECT_FALSE(nested_run.json["model"] == flat_run.json["model"]);
}

TEST_F(Layouts, FloatTypesOfTheWeights) {
  Arguments strict = with_images;
  strict.insert(strict.end(), {"--precision", "strict", "--ops", "*.1.*"});
  const ScoreRun bf16 = score_run(place, "bf16", tiny, strict);
  const std::string f32_model = place.copy_model("f32-model");
  convert_weights(f32_model, DType::f32);
  const ScoreRun f32 = score_run(place, "f32", f32_model, strict);
  // Products with bf16 weights add up in another order where the processor has them.
  const std::string products = bf16.json["provenance"]["gemm"]["bf16"];
  if (products.ends_with("in f32")) {
    EXPECT_TRUE(f32.scores() == bf16.scores());
  }
  EXPECT_LE(median_relative_difference(f32.kl_sums(), bf16.kl_sums()), 1e-4);
  // f16 has more bits than bf16 but less range: small weights are rounded, and rounding decisions differ.
  const std::string f16_model = place.copy_model("f16-model");
  convert_weights(f16_model, DType::f16);
  const ScoreRun f16 = score_run(place, "f16", f16_model, strict);
  EXPECT_TRUE(median_relative_difference(f16.kl_sums(), bf16.kl_sums()) <= 1e-2);
}

TEST_F(Layouts, TokenizedDataNeedsNoTokenizer) {
  const std::string model = place.copy_model("model");
  std::filesystem::remove(model + "/tokenizer.json");
  std::filesystem::remove(model + "/tokenizer_config.json");
  std::filesystem::remove(model + "/preprocessor_config.json");
  const std::string data =
      place.write("ids.jsonl",
                  "{\"id\": \"a\", \"input_ids\": [10, 11, 12, 13, 14]}\n"
                  "{\"id\": \"b\", \"input_ids\": [20, 21, 22], \"answer_mask\": [0, 0, 1]}\n");
  const ScoreRun run = score_run(place, "run", model, {"--data", data});
  EXPECT_EQ(run.json["data"]["tokens"], 8);
  EXPECT_EQ(run.json["data"]["answer_tokens"], 5);
  EXPECT_EQ(run.ops_with("ok").size(), 43u);
}

TEST_F(Layouts, HeadOfItsOwnAndShards) {
  const std::string data = place.write("ids.jsonl", R"({"input_ids": [5, 6, 7, 8, 9, 10, 11]})");
  const std::string family = testdata("families/qwen2_5_vl");
  const ScoreRun run = score_run(place, "run", family, {"--data", data});
  EXPECT_THAT(run.ops_with("ok"), testing::Contains("lm_head"));
  EXPECT_THAT(run_qsweep({"inspect", family}).out, HasSubstr("lm_head     its own"));
}

}  // namespace
}  // namespace qsweep::cli
