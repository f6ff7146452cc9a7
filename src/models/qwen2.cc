// Qwen2 and Qwen2.5 (Yang et al. 2024): biases where the queries, keys and values are made, and nowhere else.
#include "models/assembly.h"
#include "models/decoder_layers.h"
#include "models/text_inputs.h"

namespace qsweep::models {
namespace {

constexpr io::KnownKey kKeys[] = {{"attention_bias", io::KeyUse::only, "true"},
                                  {"max_window_layers"},
                                  {"sliding_window"},
                                  {"use_sliding_window"}};
constexpr TextRules kRules{.keys = kKeys};

}  // namespace

Scope::Value qwen2_layer(Scope& s, const TextConfig& c, int64_t layer, Scope::Value x) {
  auto h = s.rms_norm(x, "input_layernorm", c.norm_eps);
  auto q = s.rope(s.linear(h, "self_attn.q_proj", c.q_size(), Bias::added), kTextCosSin);
  auto k = s.rope(s.linear(h, "self_attn.k_proj", c.kv_size(), Bias::added), kTextCosSin);
  auto v = s.linear(h, "self_attn.v_proj", c.kv_size(), Bias::added);
  h = s.attention(q, k, v, c.attention(layer), kSequence);
  x = s.add(x, s.linear(h, "self_attn.o_proj", c.hidden_size));
  h = s.rms_norm(x, "post_attention_layernorm", c.norm_eps);
  return s.add(x, gated_mlp(s, c, h));
}

Model load_qwen2(Source source) {
  const TextConfig c = read_text({source.config, source.config_path()}, kRules);
  return language_model(
      std::move(source), "qwen2", c,
      {.layer = [&](Scope& s, int64_t layer, Scope::Value x) { return qwen2_layer(s, c, layer, x); }},
      "qwen2");
}

}  // namespace qsweep::models
