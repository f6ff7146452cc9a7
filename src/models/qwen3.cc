// Qwen3 (Yang et al. 2025): no biases, and a norm over every head of the queries and keys.
#include "models/assembly.h"
#include "models/decoder_layers.h"
#include "models/text_inputs.h"

namespace qsweep::models {
namespace {

constexpr io::KnownKey kKeys[] = {{"attention_bias", io::KeyUse::only, "false"},
                                  {"max_window_layers"},
                                  {"sliding_window"},
                                  {"use_sliding_window"}};
constexpr TextRules kRules{.keys = kKeys};

}  // namespace

TextConfig read_qwen3_text(const io::ObjectReader& text, std::span<const io::KnownKey> others) {
  return read_text(text, kRules, others);
}

Scope::Value qwen3_attention(Scope& s, const TextConfig& c, int64_t layer, Scope::Value x) {
  auto h = s.rms_norm(x, "input_layernorm", c.norm_eps);
  auto q =
      s.head_norm(s.linear(h, "self_attn.q_proj", c.q_size()), "self_attn.q_norm", c.head_dim, c.norm_eps);
  auto k =
      s.head_norm(s.linear(h, "self_attn.k_proj", c.kv_size()), "self_attn.k_norm", c.head_dim, c.norm_eps);
  auto v = s.linear(h, "self_attn.v_proj", c.kv_size());
  h = s.attention(s.rope(q, kTextCosSin), s.rope(k, kTextCosSin), v, c.attention(layer), kSequence);
  return s.add(x, s.linear(h, "self_attn.o_proj", c.hidden_size));
}

Scope::Value qwen3_layer(Scope& s, const TextConfig& c, int64_t layer, Scope::Value x) {
  x = qwen3_attention(s, c, layer, x);
  const auto h = s.rms_norm(x, "post_attention_layernorm", c.norm_eps);
  return s.add(x, gated_mlp(s, c, h));
}

Model load_qwen3(Source source) {
  const TextConfig c = read_qwen3_text({source.config, source.config_path()});
  return language_model(
      std::move(source), "qwen3", c,
      {.layer = [&](Scope& s, int64_t layer, Scope::Value x) { return qwen3_layer(s, c, layer, x); }},
      "qwen3");
}

}  // namespace qsweep::models
