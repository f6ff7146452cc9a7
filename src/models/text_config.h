// The language model's part of a config.json: the sizes and rules that decoders have in common.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "io/keys.h"
#include "models/rope.h"
#include "ops/attention.h"

namespace qsweep::models {

struct TextConfig {
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = INT64_MAX;  // tokens that a sample may have
  double norm_eps = 0;
  bool attention_bias = false;
  double attention_scale =
      0;  // of the products of queries and keys: head_dim^-1/2 where nothing says otherwise
  Rope rope;
  std::optional<Rope> local_rope;  // of the layers with a window, where theirs is another
  std::vector<int64_t> windows;    // per layer: tokens that a token sees, itself included; 0: all before it
  std::optional<bool> tie_word_embeddings;  // empty: the checkpoint decides,
  bool usually_tied = false;                // or where there is none yet, the family's class

  int64_t q_size() const { return n_heads * head_dim; }
  int64_t kv_size() const { return n_kv_heads * head_dim; }
  ops::attention::Spec attention(int64_t layer) const;
};

// Which layers look back no further than "sliding_window", where "layer_types" does not say it.
enum class Sliding {
  where_used,  // with "use_sliding_window", from layer "max_window_layers" on
  everywhere,  // all, where there is such a key
  in_turn,     // all but every "sliding_window_pattern"-th
};

// One function under two names.
inline constexpr std::initializer_list<const char*> kSilu = {"silu", "swish"};

// What a family's config.json may say, and what it means.
struct TextRules {
  std::span<const io::KnownKey> keys = {};  // beside those of every decoder
  // What a key means that is left out (null is something else): the defaults of the family's configuration
  // class in transformers.
  struct Default {
    std::string_view key, value;  // JSON
  };
  std::span<const Default> defaults = {};
  std::string_view activation_key = "hidden_act";
  std::initializer_list<const char*> activations = kSilu;
  Sliding sliding = Sliding::where_used;
  Mrope mrope = Mrope::none;
  bool local_rope = false;  // layers with a window have positions of their own
  bool usually_tied = false;
};

// Of every decoder, and of this one.
std::vector<io::KnownKey> text_config_keys(const TextRules& rules);

// Error on a missing key, one that no table knows, or a value that is not implemented. others: keys of what
// else the object describes.
TextConfig read_text(const io::ObjectReader& text, const TextRules& rules,
                     std::span<const io::KnownKey> others = {});

}  // namespace qsweep::models
