// Writing safetensors files.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "tensor/tensor.h"

namespace qsweep::io {

struct NamedTensor {
  std::string name;
  TensorView tensor;
};

// Replaces `path` atomically. Tensors are stored by element size (largest first), then by name, and the
// header is padded to 8 bytes, so every tensor is aligned to its elements. Names must be distinct and not
// "__metadata__".
void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

// Takes the next bytes of a tensor.
using TakeBytes = std::function<void(std::span<const std::byte>)>;
// Hands a tensor's data to the sink, all of it, in as many pieces as it likes.
using TensorSource = std::function<void(const NamedTensor&, const TakeBytes&)>;

// The same for data that is made as it is written: `source` is called once per tensor, in the file's order,
// and the views need no data. Without a source all numbers are zeros, which take no room on the disk.
void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata, const TensorSource& source);

}  // namespace qsweep::io
