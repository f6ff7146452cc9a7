#include "models/scope.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <tuple>

namespace qsweep::models {
namespace {

constexpr struct {
  std::string_view role, group;
} kFused[] = {
    {"q_proj", "qkv"}, {"k_proj", "qkv"}, {"v_proj", "qkv"}, {"gate_proj", "gate_up"}, {"up_proj", "gate_up"},
};

// The last word of a part, with the one before it where it is a number: "mlp.0".
std::string role_of(const std::string& part) {
  size_t dot = part.rfind('.');
  if (dot != std::string::npos && std::isdigit(static_cast<unsigned char>(part[dot + 1])) != 0)
    dot = dot == 0 ? dot : part.rfind('.', dot - 1);
  return dot == std::string::npos ? part : part.substr(dot + 1);
}

}  // namespace

ops::attention::Spec both_ways(int64_t n_heads, int64_t head_dim) {
  return {.n_heads = n_heads,
          .n_kv_heads = n_heads,
          .head_dim = head_dim,
          .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)))};
}

Scope::Scope(const Weights& weights, std::vector<graph::LinearOp>& ops, std::string stage, graph::Tower tower,
             std::optional<int64_t> block, bool caches)
    : Builder(stage, ops),
      weights_(weights),
      prefix_(std::move(stage)),
      tower_(tower),
      block_(block),
      caches_(caches) {}

TensorView Scope::weight(const std::string& name, const Shape& shape) const {
  return weights_.get(prefix_ + "." + name, shape);
}

graph::LinearOp Scope::op(const std::string& part, graph::StoredWeight weight) const {
  graph::LinearOp op;
  op.name = prefix_ + "." + part;
  op.tower = tower_;
  op.block = block_;
  op.role = role_of(part);
  op.weight = std::move(weight);
  const auto* fused = std::ranges::find(kFused, op.role, [](const auto& row) { return row.role; });
  if (fused != std::end(kFused))
    op.fusion_group = op.name.substr(0, op.name.size() - op.role.size()) + std::string(fused->group);
  return op;
}

Scope::Value Scope::push_linear(Value x, const std::string& part, graph::StoredWeight weight, Bias bias) {
  graph::LinearOp op = this->op(part, std::move(weight));
  if (bias == Bias::added) op.bias = this->weight(part + ".bias", {op.out_features()});
  return Builder::linear(x, std::move(op));
}

Scope::Value Scope::linear(Value x, const std::string& part, int64_t out, Bias bias) {
  return push_linear(x, part, weights_.linear(prefix_ + "." + part, out, cols(x)), bias);
}

Scope::Value Scope::attention(Value q, Value k, Value v, const ops::attention::Spec& spec,
                              const std::string& segments, const std::string& spans,
                              std::optional<TensorView> sinks) {
  if (caches_) {
    graph::LinearOp cache = op("self_attn.kv", {});
    cache.cache = {.heads = spec.n_kv_heads, .head_dim = spec.head_dim};
    std::tie(k, v) = Builder::cache(k, v, std::move(cache));
  }
  return Builder::attention(q, k, v, spec, segments, spans, std::move(sinks));
}

Scope::Value Scope::patch_linear(Value x, const std::string& part, const Shape& kernel, Bias bias) {
  return push_linear(x, part, weight(part + ".weight", kernel), bias);
}

Scope::Value Scope::transposed_linear(Value x, const std::string& part, int64_t out) {
  return push_linear(x, part, weights_.transposed(prefix_ + "." + part + "_weight", out, cols(x)),
                     Bias::none);
}

Scope::Value Scope::head(Value x, graph::StoredWeight weight) {
  graph::LinearOp op;
  op.name = prefix_;
  op.tower = tower_;
  op.role = prefix_;
  op.weight = std::move(weight);
  return Builder::linear(x, std::move(op));
}

// Of the stage itself where the part is empty.
std::string Scope::tensor(const std::string& part, const char* name) {
  return part.empty() ? name : part + "." + name;
}

TensorView Scope::norm_weight(const std::string& part, int64_t width, NormWeight form) const {
  const std::string name = prefix_ + "." + tensor(part, "weight");
  return form == NormWeight::one_plus ? weights_.get_less_one(name, {width}) : weights_.get(name, {width});
}

Scope::Value Scope::rms_norm(Value x, const std::string& part, double eps, NormWeight form) {
  return Builder::rms_norm(x, norm_weight(part, cols(x), form), eps, form);
}

Scope::Value Scope::layer_norm(Value x, const std::string& part, double eps) {
  return Builder::layer_norm(x, weight(tensor(part, "weight"), {cols(x)}),
                             weight(tensor(part, "bias"), {cols(x)}), eps);
}

Scope::Value Scope::head_norm(Value x, const std::string& part, int64_t head_dim, double eps,
                              NormWeight form) {
  return Builder::rms_norm(x, norm_weight(part, head_dim, form), eps, form);
}

}  // namespace qsweep::models
