// Qwen3 with mixtures of experts (Yang et al. 2025): Qwen3's attention, and layers of experts in place of
// MLPs.
#include "models/assembly.h"
#include "models/decoder_layers.h"
#include "models/mixture.h"
#include "models/text_inputs.h"

namespace qsweep::models {
Scope::Value qwen3_moe_layer(Scope& s, const TextConfig& c, const Mixture& mixture, int64_t layer,
                             Scope::Value x) {
  x = qwen3_attention(s, c, layer, x);
  const auto h = s.rms_norm(x, "post_attention_layernorm", c.norm_eps);
  return s.add(x, mixture.in_layer[static_cast<size_t>(layer)] ? experts(s, mixture, h) : gated_mlp(s, c, h));
}

// Defaults: of transformers' Qwen3MoeConfig (models/qwen3_moe/configuration_qwen3_moe.py).
Model load_qwen3_moe(Source source) {
  const io::ObjectReader config(source.config, source.config_path());
  const TextConfig c = read_qwen3_text(config, mixture_keys());
  const Mixture mixture = read_mixture(config, c, {.n_experts = 128, .chosen = 8, .width = 768});
  return language_model(std::move(source), "qwen3_moe", c,
                        {.layer = [&](Scope& s, int64_t layer,
                                      Scope::Value x) { return qwen3_moe_layer(s, c, mixture, layer, x); }},
                        "qwen3");
}

}  // namespace qsweep::models
