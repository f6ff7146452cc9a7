#include "models/qwen2_5_vl/weights.h"

namespace qsweep::models::qwen2_5_vl {

Weights::Weights(const io::Checkpoint& checkpoint)
    : checkpoint_(checkpoint),
      nested_(checkpoint.find("model.language_model.embed_tokens.weight") != nullptr) {}

std::string Weights::stored_name(const std::string& name) const {
  if (!nested_ || name.starts_with("lm_head.")) return name;
  if (name.starts_with("visual.")) return "model." + name;
  return "model.language_model." + name.substr(std::string_view("model.").size());
}

TensorView Weights::get(const std::string& name, const Shape& shape) const {
  return checkpoint_.get(stored_name(name), shape);
}

bool Weights::has(const std::string& name) const { return checkpoint_.find(stored_name(name)) != nullptr; }

graph::LinearOp Weights::linear(const std::string& name, int64_t in, int64_t out, bool bias) const {
  graph::LinearOp op;
  op.name = name;
  op.weight = get(name + ".weight", {out, in});
  if (bias) op.bias = get(name + ".bias", {out});
  return op;
}

}  // namespace qsweep::models::qwen2_5_vl
