#include "io/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "base/checked.h"
#include "io/json.h"
#include "io/sha256.h"

namespace qsweep::io {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

using ShardOfTensor = std::map<std::string, std::string>;

// The index's weight_map: tensor name -> shard's file name, a plain name in the model's folder.
ShardOfTensor read_index(const std::string& path) {
  const Json json = read_json_file(path);
  const ObjectReader weight_map = ObjectReader(json, path).object("weight_map");
  ShardOfTensor shards;
  for (const auto& [tensor, shard] : weight_map.json().items()) {
    if (!shard.is_string())
      fail("{}: \"{}\": expected a file name, found {}", path, tensor, shard.type_name());
    const auto& file_name = shard.get_ref<const std::string&>();
    if (file_name.empty() || file_name == "." || file_name == ".." ||
        file_name.find_first_of(std::string_view("/\0", 2)) != std::string::npos)
      fail("{}: \"{}\": expected a plain file name, found \"{}\"", path, tensor, file_name);
    shards.emplace(tensor, file_name);
  }
  if (shards.empty()) fail("{}: weight_map is empty", path);
  return shards;
}

// Error unless index and shard (files of the same order as `shard_names`) name the same tensors at the same
// places.
void check_index(const ShardOfTensor& index, const std::vector<std::string>& shard_names,
                 const std::vector<SafetensorsFile>& files) {
  for (size_t i = 0; i < files.size(); ++i) {
    for (const TensorEntry& entry : files[i].entries()) {
      const auto it = index.find(entry.name);
      if (it == index.end()) fail("tensor \"{}\" of {} is not in weight_map", entry.name, shard_names[i]);
      if (it->second != shard_names[i])
        fail("tensor \"{}\": weight_map says {}, found in {}", entry.name, it->second, shard_names[i]);
    }
  }
  for (const auto& [tensor, shard] : index) {
    const auto place = std::lower_bound(shard_names.begin(), shard_names.end(), shard) - shard_names.begin();
    if (files[static_cast<size_t>(place)].find(tensor) == nullptr)
      fail("tensor \"{}\": weight_map says {}, which does not hold it", tensor, shard);
  }
}

std::vector<SafetensorsFile> open_shards(const std::string& folder, const std::string& index_path) {
  const ShardOfTensor index = read_index(index_path);
  std::set<std::string> distinct;
  for (const auto& [tensor, shard] : index) distinct.insert(shard);
  const std::vector<std::string> shard_names(distinct.begin(), distinct.end());
  std::vector<SafetensorsFile> files;
  for (const std::string& shard : shard_names) {
    files.push_back(with_context("while loading a shard of " + index_path,
                                 [&] { return SafetensorsFile::open(folder + "/" + shard); }));
  }
  with_context(index_path, [&] { check_index(index, shard_names, files); });
  return files;
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

Checkpoint Checkpoint::open(const std::string& model_folder) {
  const std::string single = model_folder + "/" + kSingleFile, index = model_folder + "/" + kIndexFile;
  if (exists(single)) {
    std::vector<SafetensorsFile> files;
    files.push_back(SafetensorsFile::open(single));
    return {model_folder, std::move(files), true};
  }
  if (exists(index)) return {model_folder, open_shards(model_folder, index), true};
  fail("{}: expected a model folder with {} or {}, found neither", model_folder, kSingleFile, kIndexFile);
}

Checkpoint Checkpoint::wanted(const std::string& model_folder) { return {model_folder, {}, false}; }

Checkpoint::Checkpoint(std::string folder, std::vector<SafetensorsFile> files, bool exists)
    : folder_(std::move(folder)), files_(std::move(files)), exists_(exists) {
  for (const SafetensorsFile& file : files_)
    for (const TensorEntry& entry : file.entries()) tensors_.emplace(entry.name, file.view(entry));
}

const TensorView* Checkpoint::find(const std::string& name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

TensorView Checkpoint::get(const std::string& name, const Shape& expected_shape) const {
  if (!exists_) tensors_.try_emplace(name, TensorView{DType::bf16, expected_shape, nullptr});
  const TensorView* tensor = find(name);
  if (tensor == nullptr)
    fail("{}: tensor \"{}\" is missing; expected shape {}", folder_, name, to_string(expected_shape));
  const auto file = [&] { return tensor->elements() == 0 ? folder_ : file_of(*tensor).path(); };
  if (tensor->shape != expected_shape)
    fail("{}: tensor \"{}\": expected shape {}, found {}", file(), name, to_string(expected_shape),
         to_string(tensor->shape));
  if (tensor->dtype != DType::bf16 && tensor->dtype != DType::f16 && tensor->dtype != DType::f32)
    fail("{}: tensor \"{}\": expected dtype BF16, F16 or F32, found {}", file(), name,
         qsweep::name(tensor->dtype));
  return *tensor;
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

int64_t Checkpoint::parameters() const {
  int64_t total = 0;
  for (const auto& [name, tensor] : tensors_) total = checked_add(total, tensor.elements());
  return total;
}

int64_t Checkpoint::size_bytes() const {
  int64_t total = 0;
  for (const auto& [name, tensor] : tensors_) total = checked_add(total, tensor.size_bytes());
  return total;
}

std::vector<std::string> Checkpoint::paths() const {
  std::vector<std::string> paths;
  for (const SafetensorsFile& file : files_) paths.push_back(file.file().path());
  return paths;
}

std::string Checkpoint::headers_sha256() const {
  Sha256 digest;
  for (const SafetensorsFile& file : files_) digest.update(file.header_bytes());
  return digest.hex();
}

const MappedFile& Checkpoint::file_of(const TensorView& tensor) const {
  for (const SafetensorsFile& file : files_) {
    const auto bytes = file.file().bytes();
    if (tensor.data >= bytes.data() && tensor.data < bytes.data() + bytes.size()) return file.file();
  }
  throw ContractError(__FILE__, __LINE__, "the tensor is a view of this checkpoint", folder_);
}

void Checkpoint::release(const TensorView& tensor) const {
  if (tensor.elements() == 0) return;
  file_of(tensor).release({tensor.data, static_cast<size_t>(tensor.size_bytes())});
}

void Checkpoint::prefetch(const TensorView& tensor) const {
  if (tensor.elements() == 0) return;
  file_of(tensor).prefetch({tensor.data, static_cast<size_t>(tensor.size_bytes())});
}

void Checkpoint::populate(const TensorView& tensor) const {
  if (tensor.elements() == 0) return;
  file_of(tensor).populate({tensor.data, static_cast<size_t>(tensor.size_bytes())});
}

}  // namespace qsweep::io
