#include "models/qwen2_5_vl/config.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/ranges.h>

#include "io/json.h"

namespace qsweep::models::qwen2_5_vl {
namespace {

using io::ObjectReader;

constexpr int64_t kMaxSize = int64_t{1}
                             << 24;  // far above any real width, low enough that products stay exact
constexpr int64_t kMaxLayers = 1000;

int64_t divided(const ObjectReader& r, int64_t width, const std::string& width_key, int64_t parts,
                const std::string& parts_key) {
  if (width % parts != 0)
    fail("{}: \"{}\" {} is not a multiple of \"{}\" {}", r.path(), width_key, width, parts_key, parts);
  return width / parts;
}

// Newer transformers keep everything about positions under rope_parameters.
void read_rope(const ObjectReader& r, TextConfig& c) {
  const bool newer = r.has("rope_parameters");
  const ObjectReader rope = r.object(newer ? "rope_parameters" : "rope_scaling");
  c.rope_theta = (newer && rope.has("rope_theta") ? rope : r).number("rope_theta");
  if (!(c.rope_theta > 1) || !std::isfinite(c.rope_theta))
    fail("{}: \"rope_theta\": expected a number above 1, found {}", r.path(), c.rope_theta);
  const std::string kind = rope.has("rope_type") ? "rope_type" : "type";
  const std::string type = rope.string(kind);
  if (type != "mrope" && type != "default")
    fail("{}: \"{}\": \"{}\" is not supported; supported: \"mrope\", \"default\"", rope.path(), kind, type);
  const auto section = rope.integers("mrope_section");
  if (section.size() != 3 ||
      std::any_of(section.begin(), section.end(), [](int64_t n) { return n < 0 || n > kMaxSize; }) ||
      2 * std::accumulate(section.begin(), section.end(), int64_t{0}) != c.head_dim)
    fail("{}: \"mrope_section\": expected three sizes that add up to half the head size {}, found [{}]",
         rope.path(), c.head_dim, fmt::join(section, ", "));
  std::copy(section.begin(), section.end(), c.mrope_section.begin());
}

TextConfig read_text(const ObjectReader& r) {
  TextConfig c;
  r.require("hidden_act", "silu");
  c.hidden_size = r.integer_in("hidden_size", 1, kMaxSize);
  c.intermediate_size = r.integer_in("intermediate_size", 1, kMaxSize);
  c.n_layers = r.integer_in("num_hidden_layers", 1, kMaxLayers);
  c.n_heads = r.integer_in("num_attention_heads", 1, kMaxSize);
  c.n_kv_heads = r.integer_in("num_key_value_heads", 1, kMaxSize);
  c.vocab_size = r.integer_in("vocab_size", 1, kMaxSize);
  c.rms_norm_eps = r.number("rms_norm_eps");
  c.head_dim = divided(r, c.hidden_size, "hidden_size", c.n_heads, "num_attention_heads");
  divided(r, c.n_heads, "num_attention_heads", c.n_kv_heads, "num_key_value_heads");
  r.require("head_dim", c.head_dim);
  r.require("use_sliding_window", false);
  read_rope(r, c);
  return c;
}

VisionConfig read_vision(const ObjectReader& r) {
  VisionConfig c;
  r.require("hidden_act", "silu");
  c.depth = r.integer_in("depth", 1, kMaxLayers);
  c.hidden_size = r.integer_in("hidden_size", 1, kMaxSize);
  c.intermediate_size = r.integer_in("intermediate_size", 1, kMaxSize);
  c.n_heads = r.integer_in("num_heads", 1, kMaxSize);
  c.out_hidden_size = r.integer_in("out_hidden_size", 1, kMaxSize);
  c.in_channels = r.integer_in(r.has("in_chans") ? "in_chans" : "in_channels", 3, 3);
  c.patch_size = r.integer_in("patch_size", 1, 1024);
  c.temporal_patch_size = r.integer_in("temporal_patch_size", 1, 16);
  c.spatial_merge_size = r.integer_in("spatial_merge_size", 1, 16);
  c.window_size = r.integer_in("window_size", 1, kMaxSize);
  c.head_dim = divided(r, c.hidden_size, "hidden_size", c.n_heads, "num_heads");
  if (c.head_dim % 4 != 0)
    fail("{}: head size {} is not a multiple of 4, as its two-dimensional rotary positions need", r.path(),
         c.head_dim);
  if (c.window_size < c.patch_size * c.spatial_merge_size)
    fail("{}: \"window_size\" {} is smaller than a merged patch of {} pixels", r.path(), c.window_size,
         c.patch_size * c.spatial_merge_size);
  c.full_attention_blocks = r.integers("fullatt_block_indexes");
  for (const int64_t block : c.full_attention_blocks)
    if (block < 0 || block >= c.depth)
      fail("{}: \"fullatt_block_indexes\": {} is not a block of {}", r.path(), block, c.depth);
  return c;
}

}  // namespace

Config read_config(const io::Json& json, const std::string& where) {
  const ObjectReader top(json, where);
  const ObjectReader text = top.has("text_config") ? top.object("text_config") : top;
  Config c;
  c.text = read_text(text);
  c.vision = read_vision(top.object("vision_config"));
  if (c.vision.out_hidden_size != c.text.hidden_size)
    fail("{}: vision_config: \"out_hidden_size\": expected the language model's hidden_size {}, found {}",
         where, c.text.hidden_size, c.vision.out_hidden_size);
  for (const ObjectReader* r : {&top, &text}) {
    if (!r->has("tie_word_embeddings")) continue;
    c.tie_word_embeddings = r->boolean("tie_word_embeddings");
    break;
  }
  c.image_token_id = static_cast<int32_t>(top.integer_in("image_token_id", 0, c.text.vocab_size - 1));
  c.video_token_id = static_cast<int32_t>(top.integer_in("video_token_id", 0, c.text.vocab_size - 1));
  return c;
}

}  // namespace qsweep::models::qwen2_5_vl
