// gpt-oss (OpenAI 2025): layers with and without a window in turn, a sink in every head's softmax, biases
// everywhere, and experts whose gates and ups are cut off at a limit.
#include "models/assembly.h"
#include "models/config_values.h"
#include "models/mixture.h"
#include "models/text_inputs.h"

namespace qsweep::models {
namespace {

using enum io::KeyUse;

constexpr io::KnownKey kKeys[] = {
    {"attention_bias", only, "true"},
    {"experts_per_token"},
    {"initial_context_length", ignored},  // what "rope_scaling" says
    {"num_experts_per_tok"},
    {"num_local_experts"},
    {"output_router_logits", ignored},
    {"router_aux_loss_coef", ignored},
    {"sliding_window"},
    {"swiglu_alpha", only, "1.702"},
    {"swiglu_limit"},
};
// Of transformers' GptOssConfig (models/gpt_oss/configuration_gpt_oss.py).
constexpr TextRules::Default kDefaults[] = {
    {"head_dim", "64"}, {"sliding_window", "128"}, {"sliding_window_pattern", "2"}};
constexpr TextRules kRules{.keys = kKeys, .defaults = kDefaults, .sliding = Sliding::in_turn};

Mixture read_experts(const io::ObjectReader& r, const TextConfig& c) {
  constexpr int64_t most = 4096;
  Mixture m{.n_experts = size_or(r, "num_local_experts", 128, most),
            .width = c.intermediate_size,
            .rule = {.softmax = ops::router::Softmax::over_chosen},
            .form = {.f = ops::activation::Kind::quick_gelu, .limit = 7, .offset = 1},
            .in_layer = std::vector<bool>(static_cast<size_t>(c.n_layers), true),
            .router = "mlp.router",
            .biased_in_turns = true};
  m.rule.chosen = size_or(r, "num_experts_per_tok", 4, m.n_experts);
  if (r.has("experts_per_token") && r.integer("experts_per_token") != m.rule.chosen)
    fail("{}: \"num_experts_per_tok\" and \"experts_per_token\": expected one number, found {} and {}",
         r.path(), m.rule.chosen, r.integer("experts_per_token"));
  if (!r.has("swiglu_limit")) return m;
  m.form.limit = static_cast<float>(r.number("swiglu_limit"));
  if (!(m.form.limit > 0) || !m.form.clamped())
    fail("{}: \"swiglu_limit\": expected a number above 0, found {}", r.path(), r.number("swiglu_limit"));
  return m;
}

Scope::Value layer(Scope& s, const TextConfig& c, const Mixture& mixture, int64_t layer, Scope::Value x) {
  auto h = s.rms_norm(x, "input_layernorm", c.norm_eps);
  auto q = s.rope(s.linear(h, "self_attn.q_proj", c.q_size(), Bias::added), kTextCosSin);
  auto k = s.rope(s.linear(h, "self_attn.k_proj", c.kv_size(), Bias::added), kTextCosSin);
  auto v = s.linear(h, "self_attn.v_proj", c.kv_size(), Bias::added);
  h = s.attention(q, k, v, c.attention(layer), kSequence, "", s.weight("self_attn.sinks", {c.n_heads}));
  x = s.add(x, s.linear(h, "self_attn.o_proj", c.hidden_size, Bias::added));
  return s.add(x, experts(s, mixture, s.rms_norm(x, "post_attention_layernorm", c.norm_eps)));
}

}  // namespace

Model load_gpt_oss(Source source) {
  const io::ObjectReader config(source.config, source.config_path());
  const TextConfig c = read_text(config, kRules);
  const Mixture mixture = read_experts(config, c);
  return language_model(
      std::move(source), "gpt_oss", c,
      {.layer = [&](Scope& s, int64_t i, Scope::Value x) { return layer(s, c, mixture, i, x); }}, "harmony");
}

}  // namespace qsweep::models
