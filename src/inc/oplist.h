// The ops that Intel Neural Compressor quantizes in a model, in its order and under its names.
#pragma once

#include <string>
#include <vector>

#include "models/model.h"

namespace qsweep::inc {

inline constexpr int kEmbedding = -1;  // the token embedding, which is no linear op

struct ListedOp {
  std::string name;
  int op = kEmbedding;   // index in the model's ops
  bool reached = false;  // the batch has rows for it
};

// Error for a family whose names are not known. With images, the patch embedding is left out: INC cannot
// quantize it there.
std::vector<ListedOp> list_ops(const models::Model& model, const graph::Batch& batch);

// INC's name of an op: its module in transformers, and ".module" where INC had to wrap that module.
std::string inc_name(const std::string& canonical);

}  // namespace qsweep::inc
