#include "models/qwen2_5_vl/weights.h"

#include <algorithm>

namespace qsweep::models::qwen2_5_vl {

namespace {

// What files may hold beside a model's weights: modules that predict further tokens, and tables of rotary
// positions, which are computed.
constexpr std::string_view kUnusedPrefixes[] = {"mtp.", "model.mtp."};
constexpr std::string_view kUnusedSuffixes[] = {".rotary_emb.inv_freq", ".rotary_pos_emb.inv_freq"};

// The name in the layout of newer transformers.
std::string nested_name(const std::string& name) {
  if (name.starts_with("lm_head.")) return name;
  if (name.starts_with("visual.")) return "model." + name;
  return "model.language_model." + name.substr(std::string_view("model.").size());
}

}  // namespace

Weights::Weights(const io::Checkpoint& checkpoint)
    : checkpoint_(checkpoint),
      nested_vision_(checkpoint.find(nested_name("visual.patch_embed.proj.weight")) != nullptr),
      nested_language_(checkpoint.find(nested_name("model.embed_tokens.weight")) != nullptr) {}

std::string Weights::stored_name(const std::string& name) const {
  const bool nested = name.starts_with("visual.") ? nested_vision_ : nested_language_;
  const std::string usual = nested ? nested_name(name) : name, other = nested ? name : nested_name(name);
  const bool moved = checkpoint_.find(usual) == nullptr && checkpoint_.find(other) != nullptr;
  return moved ? other : usual;
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

std::vector<std::string> Weights::unused() const {
  std::vector<std::string> names = checkpoint_.unread();
  std::erase_if(names, [](const std::string& name) {
    return std::ranges::any_of(kUnusedPrefixes, [&](auto prefix) { return name.starts_with(prefix); }) ||
           std::ranges::any_of(kUnusedSuffixes, [&](auto suffix) { return name.ends_with(suffix); });
  });
  return names;
}

}  // namespace qsweep::models::qwen2_5_vl
