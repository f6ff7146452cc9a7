#include "models/text_config.h"

#include <cmath>
#include <tuple>

#include "models/config_keys.h"
#include "models/config_values.h"

namespace qsweep::models {
namespace {

using io::KnownKey;
using io::ObjectReader;
using enum io::KeyUse;

constexpr KnownKey kTextKeys[] = {
    {"head_dim"},
    {"hidden_size"},
    {"intermediate_size"},
    {"layer_types"},
    {"max_position_embeddings"},
    {"model_type"},
    {"num_attention_heads"},
    {"num_hidden_layers"},
    {"num_key_value_heads"},
    {"rms_norm_eps"},
    {"rope_parameters"},
    {"rope_scaling"},
    {"rope_theta"},
    {"tie_word_embeddings"},
    {"vocab_size"},
    {"mlp_bias", only, "false"},
    {"partial_rotary_factor", only, "1"},
    {"pretraining_tp", ignored},  // of products in several parts, with the same sums
};

io::Json with_defaults(const io::Json& config, std::span<const TextRules::Default> defaults) {
  io::Json all = config;
  for (const auto& [key, value] : defaults)
    if (!all.contains(key)) all[std::string(key)] = io::Json::parse(value);
  return all;
}

void read_layer_types(const ObjectReader& r, int64_t window, TextConfig& c) {
  const io::Json& types = r.at("layer_types");
  if (!types.is_array() || types.size() != static_cast<size_t>(c.n_layers))
    fail("{}: \"layer_types\": expected the types of {} layers, found {}", r.path(), c.n_layers,
         types.is_array() ? std::to_string(types.size()) : types.type_name());
  for (size_t i = 0; i < types.size(); ++i) {
    const bool slides = types[i] == "sliding_attention" && window > 0;
    if (!slides && types[i] != "full_attention")
      fail("{}: \"layer_types\": {} is not supported; supported: \"full_attention\"{}", r.path(),
           io::shortened(types[i]), window > 0 ? ", \"sliding_attention\"" : "");
    c.windows[i] = slides ? window : 0;
  }
}

void read_windows(const ObjectReader& r, Sliding sliding, TextConfig& c) {
  c.windows.assign(static_cast<size_t>(c.n_layers), 0);
  const bool used = sliding == Sliding::where_used
                        ? r.has("use_sliding_window") && r.boolean("use_sliding_window")
                        : r.has("sliding_window");
  const int64_t window = used ? r.integer_in("sliding_window", 1, INT64_MAX) : 0;
  if (r.has("layer_types")) return read_layer_types(r, window, c);
  const bool some = used && sliding == Sliding::where_used, in_turn = used && sliding == Sliding::in_turn;
  const int64_t first = some ? r.integer_in("max_window_layers", 0, kMaxLayers) : 0;
  const int64_t pattern = in_turn ? r.integer_in("sliding_window_pattern", 1, kMaxLayers) : 0;
  for (int64_t i = first; i < c.n_layers; ++i)
    if (!in_turn || (i + 1) % pattern != 0) c.windows[static_cast<size_t>(i)] = window;
}

}  // namespace

ops::attention::Spec TextConfig::attention(int64_t layer) const {
  return {.n_heads = n_heads,
          .n_kv_heads = n_kv_heads,
          .head_dim = head_dim,
          .scale = static_cast<float>(attention_scale),
          .causal = true,
          .window = windows[static_cast<size_t>(layer)]};
}

std::vector<KnownKey> text_config_keys(const TextRules& rules) {
  std::vector<KnownKey> keys(std::begin(kTextKeys), std::end(kTextKeys));
  keys.insert(keys.end(), rules.keys.begin(), rules.keys.end());
  keys.push_back({rules.activation_key});
  return keys;
}

TextConfig read_text(const ObjectReader& given, const TextRules& rules, std::span<const KnownKey> others) {
  io::check_keys(given, {pretrained_config_keys(), text_config_keys(rules), others});
  const io::Json all = with_defaults(given.json(), rules.defaults);
  const ObjectReader r(all, given.path());
  TextConfig c;
  require_name(r, std::string(rules.activation_key), rules.activations);
  c.hidden_size = r.integer_in("hidden_size", 1, kMaxConfigSize);
  c.intermediate_size = r.integer_in("intermediate_size", 1, kMaxConfigSize);
  c.n_layers = r.integer_in("num_hidden_layers", 1, kMaxLayers);
  c.n_heads = r.integer_in("num_attention_heads", 1, kMaxConfigSize);
  c.n_kv_heads = r.integer_in("num_key_value_heads", 1, kMaxConfigSize);
  c.vocab_size = r.integer_in("vocab_size", 1, kMaxConfigSize);
  if (r.has("max_position_embeddings"))
    c.max_positions = r.integer_in("max_position_embeddings", 1, INT64_MAX);
  c.norm_eps = read_epsilon(r, "rms_norm_eps");
  c.head_dim = r.has("head_dim") ? r.integer_in("head_dim", 2, kMaxConfigSize)
                                 : divided(r, c.hidden_size, "hidden_size", c.n_heads, "num_attention_heads");
  if (c.head_dim % 2 != 0) fail("{}: head size {} is odd, rotary positions need pairs", r.path(), c.head_dim);
  divided(r, c.n_heads, "num_attention_heads", c.n_kv_heads, "num_key_value_heads");
  c.attention_bias = r.has("attention_bias") && r.boolean("attention_bias");
  c.attention_scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  c.usually_tied = rules.usually_tied;
  if (r.has("tie_word_embeddings")) c.tie_word_embeddings = r.boolean("tie_word_embeddings");
  read_windows(r, rules.sliding, c);
  if (rules.local_rope) {
    std::tie(c.rope, c.local_rope) = read_layer_ropes(r, c.head_dim);
  } else {
    c.rope = read_rope(r, c.head_dim, rules.mrope);
  }
  return c;
}

}  // namespace qsweep::models
