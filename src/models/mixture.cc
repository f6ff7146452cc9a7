#include "models/mixture.h"

#include <algorithm>

#include "models/config_values.h"

namespace qsweep::models {
namespace {

using graph::LinearOp;
using enum io::KeyUse;

constexpr int64_t kMaxExperts = 4096;

constexpr io::KnownKey kMixtureKeys[] = {
    {"decoder_sparse_step"},
    {"mlp_only_layers"},
    {"moe_intermediate_size"},
    {"norm_topk_prob"},
    {"num_experts"},
    {"num_experts_per_tok"},
    {"num_local_experts"},
    {"output_router_logits", ignored},
    {"router_aux_loss_coef", ignored},
};

// Every `step`-th layer, without those that are named.
std::vector<bool> read_layers(const io::ObjectReader& r, int64_t n_layers) {
  std::vector<bool> in_layer(static_cast<size_t>(n_layers));
  const int64_t step = size_or(r, "decoder_sparse_step", 1, kMaxLayers);
  for (int64_t i = step - 1; i < n_layers; i += step) in_layer[static_cast<size_t>(i)] = true;
  if (!r.has("mlp_only_layers")) return in_layer;
  for (const int64_t i : r.integers("mlp_only_layers")) {
    if (i < 0 || i >= n_layers)
      fail("{}: \"mlp_only_layers\": expected some of {} layers, found {}", r.path(), n_layers, i);
    in_layer[static_cast<size_t>(i)] = false;
  }
  return in_layer;
}

// Rows of a matrix whose rows are `cols` wide.
TensorView rows_at(const TensorView& all, int64_t first, int64_t rows, int64_t cols) {
  return {all.dtype, {rows, cols}, all.data + first * cols * size_bytes(all.dtype)};
}

// Where the weights of experts stand.
class ExpertWeights {
 public:
  ExpertWeights(const Scope& s, const Mixture& mixture, int64_t hidden)
      : s_(s), width_(mixture.width), hidden_(hidden) {
    const std::string first = "mlp.experts.0.gate_proj.weight";
    if (s.has(first)) return;
    const int64_t n = mixture.n_experts;
    gate_up_ = s.weight("mlp.experts.gate_up_proj", {n, 2 * width_, hidden_});
    down_ = s.weight("mlp.experts.down_proj", {n, hidden_, width_});
  }

  TensorView gate(int64_t expert) const { return of_gate_up(expert, "gate_proj", 0); }
  TensorView up(int64_t expert) const { return of_gate_up(expert, "up_proj", width_); }
  TensorView down(int64_t expert) const {
    if (!down_) return own(expert, "down_proj", {hidden_, width_});
    return rows_at(*down_, expert * hidden_, hidden_, width_);
  }

 private:
  TensorView own(int64_t expert, const char* part, const Shape& shape) const {
    return s_.weight("mlp.experts." + std::to_string(expert) + "." + part + ".weight", shape);
  }
  TensorView of_gate_up(int64_t expert, const char* part, int64_t first_row) const {
    if (!gate_up_) return own(expert, part, {width_, hidden_});
    return rows_at(*gate_up_, expert * 2 * width_ + first_row, width_, hidden_);
  }

  const Scope& s_;
  int64_t width_, hidden_;
  std::optional<TensorView> gate_up_, down_;
};

// Servers hold all experts of a layer as one.
LinearOp op(const Scope& s, const std::string& part, TensorView weight) {
  LinearOp op = s.op(part, std::move(weight));
  op.role = "experts." + op.role;
  op.fusion_group = op.name.substr(0, op.name.find(".experts.")) + ".experts";
  return op;
}

}  // namespace

std::span<const io::KnownKey> mixture_keys() { return kMixtureKeys; }

Mixture read_mixture(const io::ObjectReader& r, const TextConfig& text, const MixtureDefaults& defaults) {
  Mixture m;
  m.n_experts =
      size_or(r, r.has("num_experts") ? "num_experts" : "num_local_experts", defaults.n_experts, kMaxExperts);
  if (r.has("num_local_experts") && r.integer("num_local_experts") != m.n_experts)
    fail("{}: \"num_experts\" and \"num_local_experts\": expected one number, found {} and {}", r.path(),
         m.n_experts, r.integer("num_local_experts"));
  m.width = size_or(r, "moe_intermediate_size", defaults.width);
  m.rule.chosen = size_or(r, "num_experts_per_tok", defaults.chosen, m.n_experts);
  const bool over_chosen = r.has("norm_topk_prob") ? r.boolean("norm_topk_prob") : defaults.over_chosen;
  m.rule.softmax = over_chosen ? ops::router::Softmax::over_chosen : ops::router::Softmax::over_all;
  m.in_layer = read_layers(r, text.n_layers);
  return m;
}

Scope::Value experts(Scope& s, const Mixture& mixture, Scope::Value x) {
  const ExpertWeights weights(s, mixture, s.cols(x));
  std::vector<graph::Builder::ExpertOps> ops;
  for (int64_t e = 0; e < mixture.n_experts; ++e) {
    const std::string part = "mlp.experts." + std::to_string(e);
    ops.push_back({.gate = op(s, part + ".gate_proj", weights.gate(e)),
                   .up = op(s, part + ".up_proj", weights.up(e)),
                   .down = op(s, part + ".down_proj", weights.down(e))});
  }
  LinearOp router = s.op("mlp.gate", s.weight("mlp.gate.weight", {mixture.n_experts, s.cols(x)}));
  return s.experts(x, std::move(router), mixture.rule, ops::activation::Kind::silu, std::move(ops));
}

}  // namespace qsweep::models
