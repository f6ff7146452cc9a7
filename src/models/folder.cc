#include "models/folder.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include "io/json.h"

namespace qsweep::models {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kConfig = "config.json";
constexpr std::string_view kWeights = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::string_view kAdapter = "adapter_config.json";
constexpr std::string_view kExpected = "expected the folder of a Hugging Face checkpoint";

// Where a folder lacks a checkpoint's files, what its other entries say about it. The first row counts.
constexpr struct {
  std::string_view prefix, suffix;  // of the entry's name
  std::string_view meaning;
} kOtherThings[] = {
    {kAdapter, "", "an adapter without the model: merge it into its base model and give the merged one"},
    {"snapshots", "", "the root of a model in a hub cache: give a folder inside of snapshots"},
    {"models--", "", "a hub cache: give a folder inside of models--OWNER--NAME/snapshots"},
    {"checkpoint-", "", "the output of a training: give one of its checkpoints"},
    {"", ".gguf", "GGUF, a format of llama.cpp: give the checkpoint that it was made from"},
    {"pytorch_model", "", "weights as pickled by PyTorch: save the model as safetensors"},
    {"consolidated.", "", "weights in their authors' own layout: give the one of transformers"},
    {"tf_model.h5", "", "weights of TensorFlow: save the model as safetensors"},
    {"flax_model.msgpack", "", "weights of Flax: save the model as safetensors"},
    {"model_index.json", "", "a pipeline of several models: give the folder of one"},
};

// Names in config.json for how weights are packed.
constexpr const char* kQuantizationKeys[] = {"compression_config", "quantization"};

// Ends of names that packed weights have beside or instead of "weight", and who writes them.
constexpr struct {
  std::string_view suffix, method;
} kPackedTensors[] = {
    {".qweight", "GPTQ or AWQ"},
    {".qzeros", "GPTQ or AWQ"},
    {".weight_packed", "compressed-tensors"},
    {".weight.absmax", "bitsandbytes"},
    {".weight.quant_map", "bitsandbytes"},
    {".SCB", "bitsandbytes"},
    {".weight.nested_absmax", "bitsandbytes"},
    {".weight_format", "bitsandbytes"},
};

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::vector<std::string> entries_of(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code status;
  for (fs::directory_iterator it(folder, status), end; !status && it != end; it.increment(status))
    names.push_back(it->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

[[noreturn]] void refuse_no_folder(const std::string& path) {
  if (!is_there(path)) {
    const bool hub_name = std::count(path.begin(), path.end(), '/') == 1 && path[0] != '/' && path[0] != '.';
    fail("{}: {}, found nothing of that name{}", path, kExpected,
         hub_name ? "; a model of a hub must be downloaded first" : "");
  }
  std::array<char, 4> start{};
  std::ifstream(path, std::ios::binary).read(start.data(), start.size());
  if (std::string_view(start.data(), start.size()) == "GGUF")
    fail("{}: {}, found a file in the format GGUF of llama.cpp: give the checkpoint that it was made from",
         path, kExpected);
  fail("{}: {}, found a file", path, kExpected);
}

// How a config.json says that weights are packed.
std::string method_of(const io::Json& settings) {
  if (settings.is_object())
    for (const char* key : {"quant_method", "quant_algo", "format", "mode"})
      if (const auto it = settings.find(key); it != settings.end() && it->is_string())
        return it->get<std::string>();
  return "unknown";
}

constexpr std::string_view kGiveFloat = "give the float checkpoint that it was made from";

}  // namespace

void check_folder(const std::string& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) refuse_no_folder(folder);
  const fs::path path(folder);
  for (const std::string_view name : {kConfig, kWeights, kIndex})
    if (fs::is_symlink(path / name, ignored) && !is_there(path / name))
      fail("{}/{}: a link to a file that is not there: is the download complete?", folder, name);
  if (is_there(path / kConfig) && (is_there(path / kWeights) || is_there(path / kIndex))) return;
  const std::vector<std::string> entries = entries_of(folder);
  for (const auto& thing : kOtherThings)
    for (const std::string& name : entries)
      if (name.starts_with(thing.prefix) && name.ends_with(thing.suffix))
        fail("{}: {}, found \"{}\": {}", folder, kExpected, name, thing.meaning);
}

void refuse_quantized(const io::Json& config, const std::string& path) {
  const io::ObjectReader reader(config, path);
  for (const char* key : kQuantizationKeys)
    if (reader.has(key))
      fail("{}: \"{}\": the checkpoint is quantized already (method {}); {}", path, key,
           io::shortened(io::Json(method_of(reader.at(key)))), kGiveFloat);
}

void refuse_modelopt(const std::string& folder) {
  const std::string modelopt = folder + "/hf_quant_config.json";
  if (is_there(modelopt))
    fail("{}: the checkpoint is quantized already by ModelOpt; {}", modelopt, kGiveFloat);
}

void refuse_quantized(const io::Checkpoint& checkpoint, const std::string& folder) {
  for (const std::string& name : checkpoint.names()) {
    for (const auto& packed : kPackedTensors)
      if (name.ends_with(packed.suffix))
        fail("{}: tensor \"{}\": the checkpoint is quantized already ({}); {}", folder, name, packed.method,
             kGiveFloat);
    const DType dtype = checkpoint.find(name)->dtype;
    const bool small =
        dtype == DType::f8_e4m3 || dtype == DType::f8_e5m2 || dtype == DType::i8 || dtype == DType::u8;
    if (small && name.ends_with(".weight"))
      fail("{}: tensor \"{}\": the checkpoint is quantized already (weights in {}); {}", folder, name,
           qsweep::name(dtype), kGiveFloat);
  }
}

std::vector<std::string> folder_warnings(const std::string& folder) {
  const fs::path adapter = fs::path(folder) / kAdapter;
  if (!is_there(adapter)) return {};
  return {
      fmt::format("{}: the folder has an adapter, which is not applied to the weights", adapter.string())};
}

}  // namespace qsweep::models
