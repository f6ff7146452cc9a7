#include "models/mixture.h"

#include <algorithm>

#include "models/config_values.h"

namespace qsweep::models {
namespace {

using graph::LinearOp;
using graph::StoredWeight;
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

// Where the weights of experts stand.
class ExpertWeights {
 public:
  ExpertWeights(const Scope& s, const Mixture& mixture, int64_t hidden)
      : weights_(s.weights()),
        prefix_(s.name("mlp.experts.")),
        in_turns_(mixture.biased_in_turns),
        stacked_(in_turns_ || weights_.has(prefix_ + kGateUp)),
        n_experts_(mixture.n_experts),
        width_(mixture.width),
        hidden_(hidden),
        transposed_(in_turns_ || is(kDown, {n_experts_, width_, hidden_}) ||
                    is(kGateUp, {n_experts_, hidden_, 2 * width_})) {}

  struct Parameters {
    StoredWeight weight;
    std::optional<StoredWeight> bias;
  };
  Parameters gate(int64_t expert) const { return of_gate_up(expert, "gate_proj", 0); }
  Parameters up(int64_t expert) const { return of_gate_up(expert, "up_proj", 1); }
  Parameters down(int64_t expert) const {
    if (!stacked_) return own(expert, kDown, hidden_, width_);
    return part(kDown, hidden_, width_, {.expert = expert, .count = hidden_});
  }

 private:
  static constexpr const char *kGateUp = "gate_up_proj", *kDown = "down_proj";

  // Of a tensor whose other layout has another shape.
  bool is(const char* name, const Shape& shape) const {
    const TensorView* const found = weights_.find(prefix_ + name);
    return stacked_ && found != nullptr && found->shape == shape && shape[1] != shape[2];
  }
  Parameters own(int64_t expert, const char* name, int64_t out, int64_t in) const {
    return {weights_.linear(prefix_ + std::to_string(expert) + "." + name, out, in), {}};
  }
  Parameters part(const std::string& name, int64_t outputs, int64_t inputs, const ExpertPart& part) const {
    const Stacked all{n_experts_, outputs, inputs, transposed_};
    Parameters its{weights_.expert(prefix_ + name, all, part), {}};
    if (in_turns_) its.bias = weights_.expert_bias(prefix_ + name + "_bias", all, part);
    return its;
  }
  // number: 0 of gate, 1 of up.
  Parameters of_gate_up(int64_t expert, const char* name, int64_t number) const {
    if (!stacked_) return own(expert, name, width_, hidden_);
    ExpertPart its{.expert = expert, .first = number * width_, .count = width_};
    if (in_turns_) its = {.expert = expert, .first = number, .count = width_, .every = 2};
    return part(kGateUp, 2 * width_, hidden_, its);
  }

  const Weights& weights_;
  std::string prefix_;
  bool in_turns_, stacked_;
  int64_t n_experts_, width_, hidden_;
  bool transposed_;
};

// Servers hold all experts of a layer as one.
LinearOp op(const Scope& s, const std::string& part, ExpertWeights::Parameters its) {
  LinearOp op = s.op(part, std::move(its.weight));
  op.bias = std::move(its.bias);
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
  const std::string router_name(mixture.router);
  LinearOp router = s.op(router_name, s.weight(router_name + ".weight", {mixture.n_experts, s.cols(x)}));
  if (mixture.biased_in_turns) router.bias = s.weight(router_name + ".bias", {mixture.n_experts});
  return s.experts(x, std::move(router), mixture.rule, mixture.form, std::move(ops));
}

}  // namespace qsweep::models
