// The same model in the ways in which checkpoints are stored.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "score_run.h"

namespace qsweep::cli {
namespace {

using ::testing::HasSubstr;

class Layouts : public ::testing::Test {
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

// Three ops of two samples with images.
class SameScores : public Layouts {
 protected:
  // Expects the scores of the tiny model from a copy that `change` has rewritten, and gives the run.
  ScoreRun expect_same(const std::function<void(const std::string& model)>& change) const {
    Arguments few = with_images;
    few.insert(few.end(), {"--max-ops", "3", "--format", "w8a8_dynamic"});
    const ScoreRun expected = score_run(place, "expected", tiny, few);
    EXPECT_THAT(expected.outcome.err, ::testing::IsEmpty());
    const std::string model = place.copy_model("model");
    change(model);
    ScoreRun run = score_run(place, "run", model, few);
    EXPECT_EQ(run.ops_with("ok").size(), 3u);
    EXPECT_TRUE(run.scores() == expected.scores());
    return run;
  }
  void expect_same_without_a_word(const std::function<void(const std::string& model)>& change) const {
    EXPECT_THAT(expect_same(change).outcome.err, ::testing::IsEmpty());
  }
};

// As transformers 4.49 writes it.
TEST_F(SameScores, VisionConfigWithoutDefaults) {
  expect_same_without_a_word([](const std::string& model) {
    edit_json(model + "/config.json", [](io::Json& config) {
      for (const char* key : {"patch_size", "spatial_merge_size", "temporal_patch_size", "window_size",
                              "hidden_act", "in_chans"})
        config["vision_config"].erase(key);
    });
  });
}

// As transformers 5 writes it.
TEST_F(SameScores, ProcessorInOneFile) {
  expect_same_without_a_word([](const std::string& model) {
    io::Json image_processor = io::read_json_file(model + "/preprocessor_config.json");
    image_processor.erase("min_pixels");
    image_processor.erase("max_pixels");
    std::filesystem::remove(model + "/preprocessor_config.json");
    std::ofstream(model + "/processor_config.json")
        << io::Json{{"image_processor", image_processor}, {"processor_class", "Qwen2_5_VLProcessor"}};
  });
}

TEST_F(SameScores, PreprocessorWithoutDefaults) {
  expect_same_without_a_word([](const std::string& model) {
    edit_json(model + "/preprocessor_config.json", [](io::Json& config) {
      const io::Json max_pixels = config["max_pixels"];
      config = {{"max_pixels", max_pixels}};
    });
  });
}

TEST_F(SameScores, ImageProcessorOfTheFirstCheckpoints) {
  expect_same_without_a_word([](const std::string& model) {
    edit_json(model + "/preprocessor_config.json", [](io::Json& config) {
      config["image_processor_type"] = "Qwen2_5_VLImageProcessor";
      const io::Json size{{"max_pixels", config["max_pixels"]}, {"min_pixels", config["min_pixels"]}};
      config["size"] = size;
    });
  });
}

std::string with_new_name(const std::string& name) {
  return name.starts_with("visual.") ? "model." + name : "model.language_model." + name.substr(6);
}

// Renames what `chosen` chooses.
void rename_tensors(const std::string& model, const std::function<bool(const std::string&)>& chosen) {
  edit_header(model + "/model.safetensors", [&](io::Json& header) {
    io::Json renamed = io::Json::object();
    for (const auto& [name, entry] : header.items())
      renamed[name != "__metadata__" && chosen(name) ? with_new_name(name) : name] = entry;
    header = renamed;
  });
}

TEST_F(SameScores, TowersUnderDifferentNames) {
  const auto of_vision = [](const std::string& name) { return name.starts_with("visual."); };
  expect_same_without_a_word([&](const std::string& model) {
    rename_tensors(model, [&](const std::string& name) { return !of_vision(name); });
  });
  std::filesystem::remove_all(place.at("model"));
  expect_same_without_a_word([&](const std::string& model) { rename_tensors(model, of_vision); });
}

TEST_F(SameScores, LayersUnderDifferentNames) {
  expect_same_without_a_word([](const std::string& model) {
    rename_tensors(model, [](const std::string& name) {
      return name.starts_with("model.layers.3.") || name.starts_with("visual.blocks.2.");
    });
  });
}

// Two shards; the first tensor of the file stands in both. `edit` may change the index.
void shard(const std::string& model, const std::function<void(io::Json& weight_map)>& edit) {
  const io::SafetensorsFile file = io::SafetensorsFile::open(model + "/model.safetensors");
  std::vector<io::NamedTensor> shards[2];
  io::Json weight_map = io::Json::object();
  const std::string names[] = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};
  for (size_t i = 0; i < file.entries().size(); ++i) {
    const size_t s = i < file.entries().size() / 2 ? 0 : 1;
    shards[s].push_back({file.entries()[i].name, file.view(file.entries()[i])});
    weight_map[file.entries()[i].name] = names[s];
  }
  shards[1].push_back(shards[0].front());
  for (size_t s = 0; s < 2; ++s) io::write_safetensors(model + "/" + names[s], shards[s]);
  std::filesystem::remove(model + "/model.safetensors");
  edit(weight_map);
  std::ofstream(model + "/model.safetensors.index.json") << io::Json{{"weight_map", weight_map}};
}

TEST_F(SameScores, ATensorInTwoShards) {
  const ScoreRun run = expect_same([](const std::string& model) { shard(model, [](io::Json&) {}); });
  EXPECT_THAT(run.outcome.err, HasSubstr("is in 2 shards; that of model-00001-of-00002.safetensors is used"));
}

TEST_F(SameScores, ATensorThatTheIndexForgot) {
  const ScoreRun run = expect_same([](const std::string& model) {
    shard(model, [](io::Json& weight_map) { weight_map.erase("model.norm.weight"); });
  });
  EXPECT_THAT(run.outcome.err, HasSubstr("tensor \"model.norm.weight\" is not in weight_map"));
}

// Appends tensors of bf16 ones to the weights.
void add_tensors(const std::string& model, const std::vector<std::pair<std::string, Shape>>& tensors) {
  RawSafetensors raw = RawSafetensors::read(model + "/model.safetensors");
  io::Json header = io::parse_json(raw.header, model);
  for (const auto& [name, shape] : tensors) {
    const size_t begin = raw.data.size();
    for (int64_t i = 0; i < element_count(shape); ++i) raw.data += "\x80\x3f";
    header[name] = {{"dtype", "BF16"}, {"shape", shape}, {"data_offsets", {begin, raw.data.size()}}};
  }
  raw.header = header.dump();
  raw.header.resize((raw.header.size() + 7) / 8 * 8, ' ');
  raw.write(model + "/model.safetensors");
}

TEST_F(SameScores, TensorsThatNothingReads) {
  const std::string q_proj = "model.layers.0.self_attn.q_proj", o_proj = "model.layers.1.self_attn.o_proj";
  const ScoreRun run = expect_same([&](const std::string& model) {
    add_tensors(model, {{q_proj + ".lora_A.default.weight", {4, 128}},
                        {q_proj + ".lora_B.default.weight", {128, 4}},
                        {o_proj + ".bias", {128}},
                        {"model.layers.0.self_attn.rotary_emb.inv_freq", {16}},
                        {"mtp.layers.0.mlp.up_proj.weight", {4, 4}}});
  });
  EXPECT_THAT(run.outcome.err,
              HasSubstr("3 tensors of the checkpoint that the model does not use: " + q_proj +
                        ".lora_A.default.weight, " + q_proj + ".lora_B.default.weight, " + o_proj + ".bias"));
  EXPECT_THAT(run.outcome.err, Not(HasSubstr("inv_freq")));
  EXPECT_THAT(run.outcome.err, Not(HasSubstr("mtp.")));
  EXPECT_EQ(run.json["provenance"]["unused_tensors"].size(), 3u);
  EXPECT_EQ(run.json["provenance"]["unused_tensors"][2], o_proj + ".bias");
  EXPECT_THAT(read_text(run.folder + "/report.md"), HasSubstr("3 tensors of the checkpoint are not used"));
  const Outcome inspected = run_qsweep({"inspect", place.at("model")});
  EXPECT_THAT(inspected.out, HasSubstr("tensors of the checkpoint that the model does not use:\n  " + q_proj +
                                       ".lora_A.default.weight BF16 [4, 128]\n"));
}

TEST_F(Layouts, FewerLayersThanTheCheckpoint) {
  const std::string model = place.copy_model("model");
  edit_json(model + "/config.json", [](io::Json& config) { config["num_hidden_layers"] = 5; });
  const ScoreRun run = score_run(place, "run", model, {"--samples", "1", "--max-ops", "1"});
  EXPECT_THAT(run.outcome.err, HasSubstr("12 tensors of the checkpoint that the model does not use: "
                                         "model.layers.5.input_layernorm.weight"));
  EXPECT_THAT(run.outcome.err, HasSubstr(" and 9 more; qsweep inspect lists them"));
  EXPECT_EQ(run.json["provenance"]["unused_tensors"].size(), 12u);
}

// Of the same numbers in another type, as programs that train in f32 leave it.
TEST_F(SameScores, ATiedHeadInAnotherType) {
  expect_same_without_a_word([](const std::string& model) {
    RawSafetensors raw = RawSafetensors::read(model + "/model.safetensors");
    io::Json header = io::parse_json(raw.header, model);
    const size_t from = header["model.embed_tokens.weight"]["data_offsets"][0], begin = raw.data.size();
    for (size_t i = 0; i < size_t{1088} * 128; ++i)  // bf16 with zeros below it
      raw.data += std::string(2, '\0') + raw.data.substr(from + 2 * i, 2);
    header["lm_head.weight"] = {
        {"dtype", "F32"}, {"shape", {1088, 128}}, {"data_offsets", {begin, raw.data.size()}}};
    raw.header = header.dump();
    raw.header.resize((raw.header.size() + 7) / 8 * 8, ' ');
    raw.write(model + "/model.safetensors");
  });
}

TEST_F(Layouts, AnAdapterBesideTheWeightsIsSaid) {
  const std::string model = place.copy_model("model");
  std::ofstream(model + "/adapter_config.json") << "{}";
  const ScoreRun run = score_run(place, "run", model, {"--samples", "1", "--max-ops", "1"});
  EXPECT_THAT(run.outcome.err,
              HasSubstr("adapter_config.json: the folder has an adapter, which is not applied"));
}

TEST_F(Layouts, SamplesLongerThanTheModelWasMadeFor) {
  const std::string model = place.copy_model("model");
  edit_json(model + "/config.json", [](io::Json& config) { config["max_position_embeddings"] = 6; });
  const std::string data = place.write("ids.jsonl",
                                       "{\"id\": \"a\", \"input_ids\": [1, 2, 3, 4, 5, 6]}\n"
                                       "{\"id\": \"b\", \"input_ids\": [1, 2, 3, 4, 5, 6, 7]}\n"
                                       "{\"id\": \"c\", \"input_ids\": [1, 2, 3, 4, 5, 6, 7, 8]}\n");
  const ScoreRun run = score_run(place, "run", model, {"--data", data, "--max-ops", "1"});
  EXPECT_THAT(run.outcome.err,
              HasSubstr("ids.jsonl: 2 samples are longer than the 6 tokens of \"max_position_embeddings\" in "
                        "config.json, the first \"b\", the longest of 8 tokens"));
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
  EXPECT_THAT(run.ops_with("ok"), ::testing::Contains("lm_head"));
  EXPECT_THAT(run_qsweep({"inspect", family}).out, HasSubstr("lm_head     its own"));
}

}  // namespace
}  // namespace qsweep::cli
