// Writing safetensors files.
#pragma once

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

}  // namespace qsweep::io
