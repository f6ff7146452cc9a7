// Checkpoints that are damaged, or that the program does not know.
#include <filesystem>
#include <fstream>

#include "bad_input.h"

namespace qsweep::cli {
namespace {

using io::Json;

class BadModel : public BadInput {
 protected:
  void expect_weights_refused(const std::function<void(const std::string& file)>& damage,
                              std::vector<std::string> words) const {
    words.emplace_back("model/model.safetensors");
    expect_model_refused([&](const std::string& model) { damage(model + "/model.safetensors"); }, words);
  }
  void expect_header_refused(const std::function<void(Json&)>& edit,
                             const std::vector<std::string>& words) const {
    expect_weights_refused([&](const std::string& file) { edit_header(file, edit); }, words);
  }
  void expect_config_refused(const std::function<void(Json&)>& edit, std::vector<std::string> words) const {
    words.emplace_back("model/config.json");
    expect_model_refused([&](const std::string& model) { edit_json(model + "/config.json", edit); }, words);
  }
};

void cut(const std::string& file, uintmax_t bytes) {
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - bytes);
}

TEST_F(BadModel, DamagedWeightFiles) {
  expect_weights_refused([](const std::string& file) { cut(file, 100); }, {"tensor \"", "truncated"});
  expect_weights_refused([](const std::string& file) { std::filesystem::resize_file(file, 5); },
                         {"found 5 bytes", "8 bytes of header length"});
  expect_weights_refused([](const std::string& file) { std::filesystem::resize_file(file, 0); }, {"empty"});
  expect_weights_refused(
      [](const std::string& file) { std::ofstream(file, std::ios::app) << std::string(64, 'x'); },
      {"belong to no tensor"});
  expect_weights_refused([](const std::string& file) { RawSafetensors::read(file).write(file, 90'000'000); },
                         {"header of 90000000 bytes", "truncated"});
  expect_weights_refused([](const std::string& file) { RawSafetensors::read(file).write(file, UINT64_MAX); },
                         {"header of at most 100000000 bytes", "18446744073709551615"});
  expect_weights_refused([](const std::string& file) { std::ofstream(file) << std::string(4096, '{'); },
                         {"safetensors header"});
}

TEST_F(BadModel, ContradictoryHeaders) {
  const std::string norm = "model.norm.weight", other = "visual.merger.ln_q.weight";
  expect_header_refused(
      [&](Json& header) {
        header[norm]["data_offsets"] = {header[norm]["data_offsets"][0].get<int64_t>() - 2,
                                        header[norm]["data_offsets"][1].get<int64_t>() - 2};
      },
      {norm, "inside the tensor before it"});
  expect_header_refused([&](Json& header) { header[norm]["shape"] = {1, 127}; }, {norm, "[1, 127]", "bits"});
  expect_header_refused([&](Json& header) { header[norm]["shape"] = {INT64_MAX, INT64_MAX}; }, {norm});
  expect_header_refused([&](Json& header) { header[norm]["dtype"] = "BF17"; }, {norm, "BF17"});
  expect_weights_refused(
      [&](const std::string& file) {
        RawSafetensors raw = RawSafetensors::read(file);
        raw.header.replace(raw.header.find(other), other.size(), norm);
        raw.write(file);
      },
      {"duplicate key", norm});
}

TEST_F(BadModel, MissingAndMisshapenTensors) {
  const auto rename = [](const std::string& from) {
    return [from](const std::string& model) {
      edit_header(model + "/model.safetensors", [&](Json& header) {
        header["renamed"] = header[from];
        header.erase(from);
      });
    };
  };
  const std::string q_proj = "model.layers.3.self_attn.q_proj.weight",
                    qkv = "visual.blocks.0.attn.qkv.weight";
  expect_model_refused(rename(q_proj), {"model: ", q_proj, "missing", "[128, 128]"});
  expect_model_refused(rename("model.embed_tokens.weight"),
                       {"embed_tokens.weight", "missing", "[1088, 128]"});
  const auto reshape = [&](const std::string& model) {
    edit_header(model + "/model.safetensors", [&](Json& header) { header[qkv]["shape"] = {96, 288}; });
  };
  expect_model_refused(reshape, {qkv, "expected shape [288, 96]", "found [96, 288]"});
  const auto retype = [&](const std::string& model) {
    edit_header(model + "/model.safetensors", [&](Json& header) { header[qkv]["dtype"] = "I16"; });
  };
  expect_model_refused(retype, {qkv, "BF16, F16 or F32", "I16"});
}

TEST_F(BadModel, MissingFiles) {
  for (const char* file : {"config.json", "model.safetensors"})
    expect_model_refused([&](const std::string& model) { std::filesystem::remove(model + "/" + file); },
                         {file});
  expect_refused(score(place.at("nothing"), captions),
                 {place.at("nothing"), "expected the folder of a Hugging Face checkpoint"});
  expect_refused(score(tiny + "/config.json", captions), {"config.json", "folder", "found a file"});
  const auto index_without_shard = [&](const std::string& model) {
    std::filesystem::remove(model + "/model.safetensors");
    std::ofstream(model + "/model.safetensors.index.json")
        << R"({"weight_map": {"a": "model-00001-of-00001.safetensors"}})";
  };
  expect_model_refused(index_without_shard,
                       {"model.safetensors.index.json", "model-00001-of-00001.safetensors", "cannot open"});
}

TEST_F(BadModel, UnsupportedConfigs) {
  expect_config_refused([](Json& c) { c["model_type"] = "llama9"; }, {"model_type", "llama9", "qwen2_5_vl"});
  expect_config_refused([](Json& c) { c["hidden_act"] = "gelu"; },
                        {"hidden_act", "gelu", "supported: \"silu\""});
  expect_config_refused([](Json& c) { c["vision_config"]["hidden_act"] = "relu"; },
                        {"vision_config", "hidden_act", "relu"});
  expect_config_refused([](Json& c) { c["use_sliding_window"] = true; },
                        {"use_sliding_window", "true is not supported", "supported: false"});
  expect_config_refused([](Json& c) { c["rope_scaling"]["type"] = "yarn"; },
                        {"rope_scaling", "yarn", "mrope", "default"});
  expect_config_refused(
      [](Json& c) {
        c["rope_scaling"]["mrope_section"] = {4, 6, 7};
      },
      {"mrope_section", "half the head size 32", "[4, 6, 7]"});
  expect_config_refused([](Json& c) { c["rope_theta"] = "big"; }, {"rope_theta", "a number", "big"});
  expect_config_refused([](Json& c) { c["num_key_value_heads"] = 3; },
                        {"num_attention_heads", "4 is not a multiple of", "num_key_value_heads", "3"});
  expect_config_refused([](Json& c) { c["num_attention_heads"] = 5; },
                        {"hidden_size", "128 is not a multiple of", "num_attention_heads", "5"});
  expect_config_refused([](Json& c) { c["vision_config"]["num_heads"] = 5; }, {"vision_config", "num_heads"});
  expect_config_refused([](Json& c) { c["vision_config"]["out_hidden_size"] = 96; },
                        {"out_hidden_size", "128", "96"});
  expect_config_refused([](Json& c) { c["num_hidden_layers"] = 1000000; },
                        {"num_hidden_layers", "from 1 to 1000", "found 1000000"});
  expect_config_refused([](Json& c) { c["vocab_size"] = -1; }, {"vocab_size", "found -1"});
}

TEST_F(BadModel, IncompleteConfigs) {
  for (const char* key : {"model_type", "hidden_size", "rms_norm_eps", "rope_scaling", "vision_config",
                          "image_token_id", "num_key_value_heads"})
    expect_config_refused([&](Json& c) { c.erase(key); }, {"missing key", key});
  // A tower's depth has a default, which is not this one's.
  expect_model_refused(
      [](const std::string& model) {
        edit_json(model + "/config.json", [](Json& c) { c["vision_config"].erase("depth"); });
      },
      {"visual.blocks.6.norm1.weight", "missing"});
  expect_config_refused([](Json& c) { c = Json::array({1}); }, {"expected a JSON object", "array"});
  expect_model_refused([](const std::string& model) { std::ofstream(model + "/config.json") << "{\"a\": 1"; },
                       {"model/config.json", "not valid JSON", "column 8"});
}

TEST_F(BadModel, KeysThatAreNotKnown) {
  expect_config_refused([](Json& c) { c["final_logit_softcapping"] = 30.0; },
                        {"final_logit_softcapping", "30.0 is not supported"});
  expect_config_refused([](Json& c) { c["attention_multiplier"] = 0.5; },
                        {"attention_multiplier", "not known"});
  expect_config_refused([](Json& c) { c["rms_norm_eps"] = -1.0; }, {"rms_norm_eps", "found -1"});
  expect_config_refused([](Json& c) { c["max_position_embeddings"] = 0; },
                        {"max_position_embeddings", "found 0"});
}

TEST_F(BadModel, QuantizedCheckpoints) {
  const std::string advice = "quantized already";
  for (const char* method : {"bitsandbytes", "fp8", "compressed-tensors", "modelopt"})
    expect_config_refused(
        [&](Json& c) {
          c["quantization_config"] = {{"quant_method", method}, {"bits", 4}};
        },
        {advice, std::string_view(method) == "modelopt" ? "ModelOpt, none" : method, "quantization_config",
         "float checkpoint"});
  expect_config_refused(
      [](Json& c) {
        c["quantization"] = {{"group_size", 64}, {"bits", 4}};
      },
      {advice, "\"quantization\""});
  expect_config_refused(
      [](Json& c) {
        c["compression_config"] = {{"format", "pack-quantized"}};
      },
      {advice, "pack-quantized"});
  const std::string q_proj = "model.layers.0.self_attn.q_proj";
  const auto packed_as = [&](const std::string& suffix) {
    return [&, suffix](const std::string& model) {
      edit_header(model + "/model.safetensors", [&](Json& header) {
        const Json entry = header[q_proj + ".weight"];
        header[q_proj + suffix] = entry;
        header.erase(q_proj + ".weight");
      });
    };
  };
  expect_model_refused(packed_as(".qweight"), {advice, q_proj + ".qweight", "GPTQ or AWQ"});
  expect_model_refused(packed_as(".weight_packed"), {advice, "compressed-tensors"});
  expect_model_refused(packed_as(".weight.absmax"), {advice, "bitsandbytes"});
  const auto in_bytes = [&](const char* dtype) {
    return [&, dtype](const std::string& model) {
      edit_header(model + "/model.safetensors", [&](Json& header) {
        header[q_proj + ".weight"]["dtype"] = dtype;
        header[q_proj + ".weight"]["shape"] = {128, 256};
      });
    };
  };
  expect_model_refused(in_bytes("F8_E4M3"), {advice, q_proj + ".weight", "weights in F8_E4M3"});
  expect_model_refused(in_bytes("I8"), {advice, "weights in I8"});
  expect_model_refused(in_bytes("U8"), {advice, "weights in U8"});
  expect_model_refused(
      [](const std::string& model) { std::ofstream(model + "/hf_quant_config.json") << "{}"; },
      {advice, "hf_quant_config.json", "ModelOpt"});
}

// Folders and files that people give instead of a checkpoint's.
TEST_F(BadModel, OtherThings) {
  const auto expect_folder = [&](const std::vector<std::string>& entries,
                                 const std::vector<std::string>& words) {
    for (const std::string& entry : entries) place.write("other/" + entry, "{}");
    std::vector<std::string> all{place.at("other"), "expected the folder of a Hugging Face checkpoint"};
    all.insert(all.end(), words.begin(), words.end());
    expect_refused(score(place.at("other"), captions), all);
    std::filesystem::remove_all(place.at("other"));
  };
  expect_folder({"adapter_config.json", "adapter_model.safetensors"}, {"adapter_config.json", "merge it"});
  expect_folder({"refs/main", "snapshots/0123abcd/config.json"}, {"\"snapshots\"", "hub cache"});
  expect_folder({"models--Qwen--Qwen2.5-VL-3B-Instruct/refs/main"},
                {"hub cache", "models--OWNER--NAME/snapshots"});
  expect_folder({"Qwen2.5-VL-7B-Q4_K_M.gguf", "mmproj.gguf"}, {"Q4_K_M.gguf", "GGUF", "llama.cpp"});
  expect_folder({"config.json", "pytorch_model.bin"}, {"pytorch_model.bin", "safetensors"});
  expect_folder({"config.json", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"},
                {"pytorch_model", "safetensors"});
  expect_folder({"checkpoint-500/config.json", "checkpoint-500/model.safetensors"},
                {"checkpoint-500", "training"});
  expect_folder({"consolidated.safetensors", "params.json"}, {"consolidated.safetensors", "transformers"});
  expect_folder({"model_index.json", "vae/config.json"}, {"model_index.json", "pipeline"});
  expect_refused(score(place.write("model.gguf", std::string("GGUF\3\0\0\0", 8)), captions),
                 {"model.gguf", "found a file in the format GGUF"});
  expect_refused(score("Qwen/Qwen2.5-VL-3B-Instruct", captions),
                 {"Qwen/Qwen2.5-VL-3B-Instruct", "nothing of that name", "must be downloaded"});
  expect_model_refused(
      [](const std::string& model) {
        std::filesystem::remove(model + "/model.safetensors");
        std::filesystem::create_symlink("../../blobs/0123", model + "/model.safetensors");
      },
      {"model.safetensors", "a link to a file that is not there"});
}

TEST_F(BadModel, PointersOfGitLfs) {
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.json"})
    expect_model_refused(
        [&](const std::string& model) {
          std::ofstream(model + "/" + name)
              << "version https://git-lfs.github.com/spec/v1\noid sha256:" << std::string(64, '0')
              << "\nsize 4348600\n";
        },
        {std::string("model/") + name, "Git LFS pointer", "not been downloaded"});
}

TEST_F(BadModel, HeadThatContradictsTheConfig) {
  expect_model_refused(
      [](const std::string& model) {
        edit_json(model + "/config.json", [](Json& c) { c["tie_word_embeddings"] = false; });
      },
      {"lm_head.weight", "missing", "[1088, 128]", "tie_word_embeddings"});
  const auto add_other_head = [](const std::string& model) {
    RawSafetensors raw = RawSafetensors::read(model + "/model.safetensors");
    const auto begin = static_cast<int64_t>(raw.data.size());
    const int64_t bytes = int64_t{1088} * 128 * 2;
    Json header = io::parse_json(raw.header, model);
    header["lm_head.weight"] = {
        {"dtype", "BF16"}, {"shape", {1088, 128}}, {"data_offsets", {begin, begin + bytes}}};
    raw.header = header.dump();
    raw.header.resize((raw.header.size() + 7) / 8 * 8, ' ');
    raw.data.append(static_cast<size_t>(bytes), '\1');
    raw.write(model + "/model.safetensors");
  };
  expect_model_refused(add_other_head, {"tie_word_embeddings", "lm_head.weight", "differs"});
}

TEST_F(BadModel, Tokenizers) {
  const auto with_tokenizer = [](const std::string& text) {
    return [text](const std::string& model) { std::ofstream(model + "/tokenizer.json") << text; };
  };
  expect_model_refused(with_tokenizer(read_text(tiny + "/tokenizer.json").substr(0, 20000)),
                       {"model/tokenizer.json", "not valid JSON"});
  expect_model_refused(with_tokenizer("{}"), {"model/tokenizer.json", "missing key"});
  expect_model_refused(
      [](const std::string& model) {
        edit_json(model + "/tokenizer.json", [](Json& t) { t["model"]["type"] = "Unigram"; });
      },
      {"model/tokenizer.json", "Unigram", "BPE"});
  expect_model_refused([](const std::string& model) { std::filesystem::remove(model + "/tokenizer.json"); },
                       {"model/tokenizer.json", "missing", "captions.txt", "line-1"});
}

// The model can be scored, but what its dialogues look like is not known.
TEST_F(BadModel, ChatTemplatesOfNoKnownDialect) {
  const std::string model = place.copy_model("model");
  edit_json(model + "/tokenizer_config.json",
            [](Json& c) { c["chat_template"] = "{{ messages[0].content }}"; });
  expect_refused(score(model, with_images), {"eval.jsonl", "chat template is that of none of chatml, qwen2",
                                             "\"input_ids\"", "--chat-template"});
  EXPECT_EQ(run_qsweep(score(model, captions)).code, 0);
  EXPECT_EQ(run_qsweep(score(model, with_images, {"--chat-template", "qwen2"})).code, 0);
}

TEST_F(BadModel, TokensThatContradict) {
  expect_model_refused(
      [](const std::string& model) {
        edit_json(model + "/config.json", [](Json& c) { c["vision_start_token_id"] = 1052; });
      },
      {"model/tokenizer.json", "<|vision_start|>", "expected id 1052", "vision_start_token_id",
       "found 1051"});
}

TEST_F(BadModel, Preprocessors) {
  const auto expect = [&](const std::function<void(const std::string& file)>& damage,
                          std::vector<std::string> words) {
    const std::string model = place.copy_model("model");
    damage(model + "/preprocessor_config.json");
    words.emplace_back("model/preprocessor_config.json");
    expect_refused(score(model, with_images), words);
    std::filesystem::remove_all(model);
  };
  expect([](const std::string& file) { std::filesystem::remove(file); }, {"missing", "images", "eval-000"});
  expect([](const std::string& file) { edit_json(file, [](Json& c) { c["patch_size"] = 16; }); },
         {"patch_size", "expected 14 as in config.json", "found 16"});
  expect(
      [](const std::string& file) { edit_json(file, [](Json& c) { c["image_processor_type"] = "Clip"; }); },
      {"image_processor_type", "Clip", "Qwen2VLImageProcessor"});
  expect([](const std::string& file) { edit_json(file, [](Json& c) {
                                         c["image_std"] = {0.1, 0, 0.1};
                                       }); },
         {"image_std", "positive"});
  expect(
      [](const std::string& file) {
        edit_json(file, [](Json& c) { c["image_std"] = {1e-300, 1e-300, 1e-300}; });
      },
      {"image_std", "expected pixels within"});
  expect([](const std::string& file) { edit_json(file, [](Json& c) { c["do_sharpen"] = true; }); },
         {"do_sharpen", "not known"});
}

}  // namespace
}  // namespace qsweep::cli
