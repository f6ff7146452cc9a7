// Llama (Touvron et al. 2023); its third generation (Dubey et al. 2024) stretches long waves of its
// positions.
#include "models/assembly.h"
#include "models/decoder_layers.h"
#include "models/text_inputs.h"

namespace qsweep::models {
namespace {

using enum io::KeyUse;

// The last two are in SmolLM's files, as nanotron writes them.
constexpr io::KnownKey kKeys[] = {
    {"attention_bias"}, {"is_llama_config", ignored}, {"rope_interleaved", only, "false"}};
constexpr TextRules kRules{.keys = kKeys};

}  // namespace

Scope::Value llama_layer(Scope& s, const TextConfig& c, int64_t layer, Scope::Value x) {
  const Bias bias = c.attention_bias ? Bias::added : Bias::none;
  auto h = s.rms_norm(x, "input_layernorm", c.norm_eps);
  // Queries [tokens, heads * head_dim], keys and values [tokens, kv heads * head_dim].
  auto q = s.rope(s.linear(h, "self_attn.q_proj", c.q_size(), bias), kTextCosSin);
  auto k = s.rope(s.linear(h, "self_attn.k_proj", c.kv_size(), bias), kTextCosSin);
  auto v = s.linear(h, "self_attn.v_proj", c.kv_size(), bias);
  h = s.attention(q, k, v, c.attention(layer), kSequence);
  x = s.add(x, s.linear(h, "self_attn.o_proj", c.hidden_size, bias));
  h = s.rms_norm(x, "post_attention_layernorm", c.norm_eps);
  return s.add(x, gated_mlp(s, c, h));
}

Model load_llama(Source source) {
  const TextConfig c = read_text({source.config, source.config_path()}, kRules);
  return language_model(
      std::move(source), "llama", c,
      {.layer = [&](Scope& s, int64_t layer, Scope::Value x) { return llama_layer(s, c, layer, x); }},
      "llama3");
}

}  // namespace qsweep::models
