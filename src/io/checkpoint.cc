#include "io/checkpoint.h"

#include <algorithm>
#include <cstring>
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

std::vector<SafetensorsFile> open_shards(const std::string& folder, const std::string& index_path,
                                         const ShardOfTensor& index) {
  std::set<std::string> distinct;
  for (const auto& [tensor, shard] : index) distinct.insert(shard);
  std::vector<SafetensorsFile> files;
  for (const std::string& shard : distinct) {
    files.push_back(with_context("while loading a shard of " + index_path,
                                 [&] { return SafetensorsFile::open(folder + "/" + shard); }));
  }
  return files;
}

// A tensor where a shard holds it.
struct Copy {
  std::string shard;
  TensorView tensor;
};

bool equal(const TensorView& a, const TensorView& b) {
  return a.dtype == b.dtype && a.shape == b.shape &&
         (a.elements() == 0 || std::memcmp(a.data, b.data, static_cast<size_t>(a.size_bytes())) == 0);
}

// The copy that counts: where the index says, or the only one there is.
const Copy& choose(const std::string& name, const std::vector<Copy>& copies, const std::string* shard,
                   std::vector<std::string>& warnings) {
  const auto named = std::find_if(copies.begin(), copies.end(),
                                  [&](const Copy& copy) { return shard != nullptr && copy.shard == *shard; });
  const Copy& chosen = named == copies.end() ? copies.front() : *named;
  const std::string said = shard == nullptr ? "tensor \"" + name + "\" is not in weight_map"
                                            : "tensor \"" + name + "\": weight_map says " + *shard;
  if (copies.size() == 1 && named == copies.end())
    warnings.push_back(fmt::format("{}; that of {} is used", said, chosen.shard));
  if (copies.size() == 1) return chosen;
  const bool same = std::all_of(copies.begin(), copies.end(),
                                [&](const Copy& copy) { return equal(copy.tensor, chosen.tensor); });
  if (!same && named == copies.end())
    fail("{}, and {} and {} hold different ones", said, copies[0].shard, copies[1].shard);
  warnings.push_back(fmt::format("tensor \"{}\" is in {} shards{}; that of {} is used", name, copies.size(),
                                 same ? "" : ", which differ", chosen.shard));
  return chosen;
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
    Checkpoint checkpoint(model_folder, std::move(files), true);
    if (exists(index))
      checkpoint.warnings_.push_back(fmt::format("{}: not read, as {} is there too", index, kSingleFile));
    return checkpoint;
  }
  if (exists(index)) {
    const ShardOfTensor shard_of_tensor = read_index(index);
    Checkpoint checkpoint(model_folder, open_shards(model_folder, index, shard_of_tensor), true);
    with_context(index, [&] { checkpoint.choose_copies(shard_of_tensor); });
    return checkpoint;
  }
  fail("{}: expected a model folder with {} or {}, found neither", model_folder, kSingleFile, kIndexFile);
}

Checkpoint Checkpoint::wanted(const std::string& model_folder) { return {model_folder, {}, false}; }

Checkpoint::Checkpoint(std::string folder, std::vector<SafetensorsFile> files, bool exists)
    : folder_(std::move(folder)), files_(std::move(files)), exists_(exists) {
  for (const SafetensorsFile& file : files_)
    for (const TensorEntry& entry : file.entries()) tensors_.emplace(entry.name, file.view(entry));
}

void Checkpoint::choose_copies(const ShardOfTensor& shard_of_tensor) {
  std::map<std::string, std::vector<Copy>> copies;
  for (const SafetensorsFile& file : files_)
    for (const TensorEntry& entry : file.entries())
      copies[entry.name].push_back(
          {std::filesystem::path(file.file().path()).filename().string(), file.view(entry)});
  for (const auto& [tensor, shard] : shard_of_tensor)
    if (!copies.contains(tensor))
      fail("tensor \"{}\": weight_map says {}, which does not hold it", tensor, shard);
  for (const auto& [name, of_name] : copies) {
    const auto shard = shard_of_tensor.find(name);
    tensors_[name] =
        choose(name, of_name, shard == shard_of_tensor.end() ? nullptr : &shard->second, warnings_).tensor;
    if (of_name.size() > 1)
      for (const Copy& copy : of_name) release(copy.tensor);  // they were compared
  }
}

const TensorView* Checkpoint::find(const std::string& name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

TensorView Checkpoint::get(const std::string& name, const Shape& expected_shape) const {
  if (!exists_) tensors_.try_emplace(name, TensorView{DType::bf16, expected_shape, nullptr});
  read_.insert(name);
  const TensorView* tensor = find(name);
  if (tensor == nullptr)
    fail("{}: tensor \"{}\" is missing; expected shape {}", folder_, name, to_string(expected_shape));
  const auto file = [&] {
    return tensor->data == nullptr || tensor->elements() == 0 ? folder_ : file_of(*tensor).path();
  };
  if (tensor->shape != expected_shape)
    fail("{}: tensor \"{}\": expected shape {}, found {}", file(), name, to_string(expected_shape),
         to_string(tensor->shape));
  if (tensor->dtype != DType::bf16 && tensor->dtype != DType::f16 && tensor->dtype != DType::f32)
    fail("{}: tensor \"{}\": expected dtype BF16, F16 or F32, found {}", file(), name,
         qsweep::name(tensor->dtype));
  return *tensor;
}

TensorView Checkpoint::as_stored(const std::string& name) const {
  const TensorView* tensor = find(name);
  QSWEEP_CHECK(tensor != nullptr, "tensor \"{}\" is not there", name);
  read_.insert(name);
  return *tensor;
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

std::vector<std::string> Checkpoint::unread() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_)
    if (!read_.contains(name)) names.push_back(name);
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

void Checkpoint::check_unchanged() const {
  for (const SafetensorsFile& file : files_) file.file().check_unchanged();
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
