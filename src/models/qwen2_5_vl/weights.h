// Where this family's tensors stand in a checkpoint: both layouts of names that Hugging Face has used.
#pragma once

#include <string>

#include "graph/graph.h"
#include "io/checkpoint.h"

namespace qsweep::models::qwen2_5_vl {

class Weights {
 public:
  // Finds out the layout: "visual.*" and "model.layers.*", or "model.visual.*" and "model.language_model.*".
  explicit Weights(const io::Checkpoint& checkpoint);

  // `name` is canonical (the first layout). Error where the tensor is missing or has another shape.
  TensorView get(const std::string& name, const Shape& shape) const;
  bool has(const std::string& name) const;

  // The linear op `name` with its weight, and its bias where it has one.
  graph::LinearOp linear(const std::string& name, int64_t in, int64_t out, bool bias) const;

 private:
  std::string stored_name(const std::string& name) const;

  const io::Checkpoint& checkpoint_;
  bool nested_;
};

}  // namespace qsweep::models::qwen2_5_vl
