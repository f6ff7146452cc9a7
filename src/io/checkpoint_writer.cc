#include "io/checkpoint_writer.h"

#include <vector>

#include "base/checked.h"
#include "io/atomic_file.h"
#include "io/json.h"

namespace qsweep::io {
namespace {

// transformers asks for it.
const std::map<std::string, std::string> kMetadata{{"format", "pt"}};

using Shard = std::span<const NamedTensor>;

std::vector<Shard> shards_of(std::span<const NamedTensor> tensors, int64_t max_shard_bytes) {
  std::vector<Shard> shards;
  int64_t shard_bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int64_t bytes = tensors[i].tensor.size_bytes();
    if (shards.empty() || checked_add(shard_bytes, bytes) > max_shard_bytes) {
      shards.push_back(tensors.subspan(i, 0));
      shard_bytes = 0;
    }
    shards.back() = {shards.back().data(), shards.back().size() + 1};
    shard_bytes += bytes;
  }
  return shards;
}

}  // namespace

void write_checkpoint(const std::string& folder, std::span<const NamedTensor> tensors,
                      int64_t max_shard_bytes, const TensorSource& source) {
  const std::vector<Shard> shards = shards_of(tensors, max_shard_bytes);
  if (shards.size() == 1) return write_safetensors(folder + "/model.safetensors", tensors, kMetadata, source);
  Json index{{"metadata", {{"total_size", 0}}}, {"weight_map", Json::object()}};
  int64_t total_bytes = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_safetensors(folder + "/" + file, shards[i], kMetadata, source);
    for (const NamedTensor& item : shards[i]) {
      index["weight_map"][item.name] = file;
      total_bytes = checked_add(total_bytes, item.tensor.size_bytes());
    }
  }
  index["metadata"]["total_size"] = total_bytes;
  write_file_atomically(folder + "/model.safetensors.index.json", index.dump(2) + "\n");
}

}  // namespace qsweep::io
