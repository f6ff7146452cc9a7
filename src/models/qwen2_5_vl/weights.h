// Where this family's tensors stand in a checkpoint: both layouts of names that Hugging Face has used, also
// where programs that wrote one tower anew have left a mixture.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"
#include "io/checkpoint.h"

namespace qsweep::models::qwen2_5_vl {

class Weights {
 public:
  // Finds out each tower's layout: "visual.*" and "model.layers.*", or "model.visual.*" and
  // "model.language_model.*".
  explicit Weights(const io::Checkpoint& checkpoint);

  // `name` is canonical (the first layout). Error where the tensor is missing or has another shape.
  TensorView get(const std::string& name, const Shape& shape) const;
  bool has(const std::string& name) const;

  // The linear op `name` with its weight, and its bias where it has one.
  graph::LinearOp linear(const std::string& name, int64_t in, int64_t out, bool bias) const;

  // Names in the checkpoint that were not asked for, without those that no model of this family reads.
  std::vector<std::string> unused() const;

 private:
  std::string stored_name(const std::string& name) const;

  const io::Checkpoint& checkpoint_;
  bool nested_vision_, nested_language_;
};

}  // namespace qsweep::models::qwen2_5_vl
