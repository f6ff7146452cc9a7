// Gemma 3 (Gemma team 2025), the language model: scaled embeddings, norms before and after each half of a
// layer that multiply by 1 + weight, norms over heads, and windows in most layers, which have positions of
// their own.
#include "models/gemma3.h"

#include <cmath>

#include "models/assembly.h"
#include "models/config_values.h"
#include "models/text_inputs.h"
#include "tensor/floats.h"

namespace qsweep::models {
namespace {

using io::KnownKey;
using ops::activation::Kind;
using enum io::KeyUse;

constexpr KnownKey kKeys[] = {
    {"query_pre_attn_scalar"},
    {"rope_local_base_freq"},
    {"sliding_window"},
    {"sliding_window_pattern"},
    {"_sliding_window_pattern", ignored},  // layer_types stands beside it
    {"attention_bias", only, "false"},
    {"cache_implementation", ignored},
    {"use_bidirectional_attention", only, "false"},
};

// Of Gemma3TextConfig (models/gemma3/configuration_gemma3.py).
constexpr TextRules::Default kDefaults[] = {
    {"vocab_size", "262208"},
    {"hidden_size", "2304"},
    {"intermediate_size", "9216"},
    {"num_hidden_layers", "26"},
    {"num_attention_heads", "8"},
    {"num_key_value_heads", "4"},
    {"head_dim", "256"},
    {"hidden_activation", "\"gelu_pytorch_tanh\""},
    {"max_position_embeddings", "131072"},
    {"rms_norm_eps", "1e-6"},
    {"rope_theta", "1000000.0"},
    {"rope_local_base_freq", "10000.0"},
    {"sliding_window", "4096"},
    {"sliding_window_pattern", "6"},
};

constexpr TextRules kRules{.keys = kKeys,
                           .defaults = kDefaults,
                           .activation_key = "hidden_activation",
                           .activations = {"gelu_pytorch_tanh"},
                           .sliding = Sliding::in_turn,
                           .local_rope = true,
                           .usually_tied = true};

// The layer's norms: x / rms(x) (1 + w).
Scope::Value norm(Scope& s, const TextConfig& c, Scope::Value x, const std::string& part) {
  return s.rms_norm(x, part, c.norm_eps, NormWeight::one_plus);
}

Scope::Value layer(Scope& s, const TextConfig& c, int64_t i, Scope::Value x, const std::string& spans) {
  const std::string cos_sin = c.windows[static_cast<size_t>(i)] > 0 ? kLocalCosSin : kTextCosSin;
  const auto head_norm = [&](Scope::Value heads, const std::string& part) {
    return s.head_norm(heads, part, c.head_dim, c.norm_eps, NormWeight::one_plus);
  };
  auto h = norm(s, c, x, "input_layernorm");
  auto q = head_norm(s.linear(h, "self_attn.q_proj", c.q_size()), "self_attn.q_norm");
  auto k = head_norm(s.linear(h, "self_attn.k_proj", c.kv_size()), "self_attn.k_norm");
  auto v = s.linear(h, "self_attn.v_proj", c.kv_size());
  h = s.attention(s.rope(q, cos_sin), s.rope(k, cos_sin), v, c.attention(i), kSequence, spans);
  x = s.add(x, norm(s, c, s.linear(h, "self_attn.o_proj", c.hidden_size), "post_attention_layernorm"));
  h = norm(s, c, x, "pre_feedforward_layernorm");
  auto gate = s.linear(h, "mlp.gate_proj", c.intermediate_size);
  auto up = s.linear(h, "mlp.up_proj", c.intermediate_size);
  h = s.linear(s.gated(gate, up, Kind::gelu_tanh), "mlp.down_proj", c.hidden_size);
  return s.add(x, norm(s, c, h, "post_feedforward_layernorm"));
}

// Times sqrt(hidden_size), in the type in which the embeddings are stored.
Scope::Value scaled(Scope& s, const TextConfig& c, Scope::Value embedded) {
  const DType stored = s.weights().get(kEmbeddingWeight, {c.vocab_size, c.hidden_size}).dtype;
  const auto scale = static_cast<float>(std::sqrt(static_cast<double>(c.hidden_size)));
  return s.scale(embedded, rounded_to(stored, scale));
}

}  // namespace

TextConfig read_gemma3_text(const io::ObjectReader& text) {
  TextConfig c = read_text(text, kRules);
  const double scalar = text.has("query_pre_attn_scalar") ? text.number("query_pre_attn_scalar") : 256;
  if (!(scalar > 0))
    fail("{}: \"query_pre_attn_scalar\": expected a positive number, found {}", text.path(), scalar);
  c.attention_scale = 1 / std::sqrt(scalar);
  return c;
}

Decoder gemma3_decoder(const TextConfig& c, const std::string& spans) {
  return {.embed = [&c](Scope& s, Scope::Value embedded) { return scaled(s, c, embedded); },
          .layer = [&c, spans](Scope& s, int64_t i, Scope::Value x) { return layer(s, c, i, x, spans); },
          .norm = NormWeight::one_plus};
}

Model load_gemma3_text(Source source) {
  const TextConfig c = read_gemma3_text({source.config, source.config_path()});
  return language_model(std::move(source), "gemma3_text", c, gemma3_decoder(c, ""), "gemma");
}

}  // namespace qsweep::models
