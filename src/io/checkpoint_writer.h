// Writing checkpoints in Hugging Face layout.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "io/safetensors_writer.h"

namespace qsweep::io {

// Writes `tensors`, in the order given, into the files that Checkpoint::open reads: model.safetensors, or,
// where they do not fit one file of `max_shard_bytes`, shards (a larger tensor has one of its own) and their
// index. `folder` must exist; source: as of write_safetensors.
void write_checkpoint(const std::string& folder, std::span<const NamedTensor> tensors,
                      int64_t max_shard_bytes, const TensorSource& source);

}  // namespace qsweep::io
