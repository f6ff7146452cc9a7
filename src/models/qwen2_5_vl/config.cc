#include "models/qwen2_5_vl/config.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/ranges.h>

#include "io/json.h"
#include "models/config_keys.h"

namespace qsweep::models::qwen2_5_vl {
namespace {

using io::KnownKey;
using io::ObjectReader;
using enum io::KeyUse;

constexpr KnownKey kTopKeys[] = {
    {"image_token_id"},
    {"model_type"},
    {"text_config"},
    {"tie_word_embeddings"},
    {"video_token_id"},
    {"vision_config"},
    {"vision_start_token_id"},
    {"vision_end_token_id", ignored},
    {"vision_token_id", ignored},  // of a frame that stands for nothing; no prompt has it
};

constexpr KnownKey kTextKeys[] = {
    {"head_dim"},
    {"hidden_act"},
    {"hidden_size"},
    {"intermediate_size"},
    {"layer_types"},
    {"max_position_embeddings"},
    {"num_attention_heads"},
    {"num_hidden_layers"},
    {"num_key_value_heads"},
    {"rms_norm_eps"},
    {"rope_parameters"},
    {"rope_scaling"},
    {"rope_theta"},
    {"vocab_size"},
    {"max_window_layers", ignored},  // of sliding windows, which are off
    {"sliding_window", ignored},
    {"attention_bias", only, "true"},
    {"mlp_bias", only, "false"},
    {"partial_rotary_factor", only, "1"},
    {"qk_norm", only, "false"},
    {"use_mrope", only, "true"},
    {"use_qk_norm", only, "false"},
    {"use_sliding_window", only, "false"},
};

// What text_config may say again.
constexpr KnownKey kRepeatedKeys[] = {
    {"image_token_id"},           {"model_type"},
    {"tie_word_embeddings"},      {"video_token_id"},
    {"vision_start_token_id"},    {"vision_end_token_id", ignored},
    {"vision_token_id", ignored},
};

constexpr KnownKey kRopeKeys[] = {
    {"mrope_section"},
    {"rope_theta"},
    {"rope_type"},
    {"type"},
    {"attention_factor", only, "1"},
    {"factor", only, "1"},
    {"mrope_interleaved", only, "false"},
    {"partial_rotary_factor", only, "1"},
};

constexpr KnownKey kVisionKeys[] = {
    {"depth"},
    {"fullatt_block_indexes"},
    {"hidden_act"},
    {"hidden_size"},
    {"in_channels"},
    {"in_chans"},
    {"intermediate_size"},
    {"model_type"},
    {"num_heads"},
    {"out_hidden_size"},
    {"patch_size"},
    {"rope_parameters"},
    {"spatial_merge_size"},
    {"temporal_patch_size"},
    {"window_size"},
    {"spatial_patch_size", ignored},  // patch_size is what counts
    {"tokens_per_second", ignored},   // of videos
    {"rms_norm_eps", only, "1e-6"},
};

constexpr KnownKey kVisionRopeKeys[] = {
    {"partial_rotary_factor", only, "1"},
    {"rope_theta", only, "10000"},
    {"rope_type", only, "\"axial\""},
    {"rope_type", only, "\"default\""},
};

// What a key means that a vision_config leaves out: the defaults of transformers' Qwen2_5_VLVisionConfig
// (models/qwen2_5_vl/configuration_qwen2_5_vl.py). transformers 4.49 writes only what differs from them.
constexpr struct {
  std::string_view key;
  int64_t value;
} kVisionDefaults[] = {
    {"depth", 32},
    {"hidden_size", 3584},
    {"intermediate_size", 3420},
    {"num_heads", 16},
    {"in_channels", 3},
    {"in_chans", 3},
    {"patch_size", 14},
    {"spatial_merge_size", 2},
    {"window_size", 112},
    {"temporal_patch_size", 2},
    {"out_hidden_size", 3584},
};
constexpr int64_t kDefaultFullAttentionBlocks[] = {7, 15, 23, 31};

constexpr int64_t kMaxSize = int64_t{1}
                             << 24;  // far above any real width, low enough that products stay exact
constexpr int64_t kMaxLayers = 1000;

int64_t divided(const ObjectReader& r, int64_t width, const std::string& width_key, int64_t parts,
                const std::string& parts_key) {
  if (width % parts != 0)
    fail("{}: \"{}\" {} is not a multiple of \"{}\" {}", r.path(), width_key, width, parts_key, parts);
  return width / parts;
}

// Error unless the key is absent or its value one of these names.
void require_name(const ObjectReader& r, const std::string& key, std::initializer_list<const char*> names) {
  if (!r.has(key)) return;
  const std::string name = r.string(key);
  if (std::find(names.begin(), names.end(), name) == names.end())
    fail("{}: \"{}\": \"{}\" is not supported; supported: \"{}\"", r.path(), key, name,
         fmt::join(names, "\", \""));
}

// SiLU under both of its names.
void require_silu(const ObjectReader& r) { require_name(r, "hidden_act", {"silu", "swish"}); }

double read_rope_theta(const ObjectReader& r) {
  const double theta = r.number("rope_theta");
  if (!(theta > 1) || !std::isfinite(theta))
    fail("{}: \"rope_theta\": expected a number above 1, found {}", r.path(), theta);
  return theta;
}

// Newer transformers keep everything about positions under rope_parameters.
void read_rope(const ObjectReader& r, TextConfig& c) {
  const bool newer = r.has("rope_parameters");
  const ObjectReader rope = r.object(newer ? "rope_parameters" : "rope_scaling");
  if (newer && r.has("rope_scaling"))
    fail("{}: expected \"rope_parameters\" or \"rope_scaling\", found both", r.path());
  if (!rope.has("rope_type")) rope.string("type");  // one of the two must be there
  for (const char* kind : {"rope_type", "type"}) require_name(rope, kind, {"mrope", "default"});
  io::check_keys(rope, {kRopeKeys});
  const bool inside = rope.has("rope_theta");
  c.rope_theta = read_rope_theta(inside ? rope : r);
  if (inside && r.has("rope_theta") && read_rope_theta(r) != c.rope_theta)
    fail("{}: \"rope_theta\": expected {} as in {}, found {}", r.path(), c.rope_theta,
         newer ? "rope_parameters" : "rope_scaling", r.number("rope_theta"));
  const auto section = rope.integers("mrope_section");
  if (section.size() != 3 ||
      std::any_of(section.begin(), section.end(), [](int64_t n) { return n < 0 || n > kMaxSize; }) ||
      2 * std::accumulate(section.begin(), section.end(), int64_t{0}) != c.head_dim)
    fail("{}: \"mrope_section\": expected three sizes that add up to half the head size {}, found [{}]",
         rope.path(), c.head_dim, fmt::join(section, ", "));
  std::copy(section.begin(), section.end(), c.mrope_section.begin());
}

// What every layer attends to: here all that is before it.
void check_layer_types(const ObjectReader& r, int64_t n_layers) {
  if (!r.has("layer_types")) return;
  const io::Json& types = r.at("layer_types");
  if (!types.is_array() || types.size() != static_cast<size_t>(n_layers))
    fail("{}: \"layer_types\": expected the types of {} layers, found {}", r.path(), n_layers,
         types.is_array() ? std::to_string(types.size()) : types.type_name());
  for (const io::Json& type : types)
    if (type != "full_attention")
      fail("{}: \"layer_types\": {} is not supported; supported: \"full_attention\"", r.path(),
           io::shortened(type));
}

double read_epsilon(const ObjectReader& r) {
  const double epsilon = r.number("rms_norm_eps");
  if (!(epsilon >= 0 && epsilon < 1))
    fail("{}: \"rms_norm_eps\": expected a number from 0 to below 1, found {}", r.path(), epsilon);
  return epsilon;
}

TextConfig read_text(const ObjectReader& r) {
  TextConfig c;
  require_silu(r);
  c.hidden_size = r.integer_in("hidden_size", 1, kMaxSize);
  c.intermediate_size = r.integer_in("intermediate_size", 1, kMaxSize);
  c.n_layers = r.integer_in("num_hidden_layers", 1, kMaxLayers);
  c.n_heads = r.integer_in("num_attention_heads", 1, kMaxSize);
  c.n_kv_heads = r.integer_in("num_key_value_heads", 1, kMaxSize);
  c.vocab_size = r.integer_in("vocab_size", 1, kMaxSize);
  if (r.has("max_position_embeddings"))
    c.max_positions = r.integer_in("max_position_embeddings", 1, INT64_MAX);
  c.rms_norm_eps = read_epsilon(r);
  c.head_dim = divided(r, c.hidden_size, "hidden_size", c.n_heads, "num_attention_heads");
  divided(r, c.n_heads, "num_attention_heads", c.n_kv_heads, "num_key_value_heads");
  r.require("head_dim", c.head_dim);
  check_layer_types(r, c.n_layers);
  read_rope(r, c);
  return c;
}

// The blocks that attend to whole images. A tower may be shallower than the defaults, but not than its own.
std::vector<int64_t> read_full_attention_blocks(const ObjectReader& r, int64_t depth) {
  std::vector<int64_t> blocks;
  if (!r.has("fullatt_block_indexes")) {
    std::copy_if(std::begin(kDefaultFullAttentionBlocks), std::end(kDefaultFullAttentionBlocks),
                 std::back_inserter(blocks), [&](int64_t block) { return block < depth; });
    return blocks;
  }
  blocks = r.integers("fullatt_block_indexes");
  for (const int64_t block : blocks)
    if (block < 0 || block >= depth)
      fail("{}: \"fullatt_block_indexes\": {} is not a block of {}", r.path(), block, depth);
  return blocks;
}

int64_t read_vision_size(const ObjectReader& r, const std::string& key, int64_t low, int64_t high) {
  if (r.has(key)) return r.integer_in(key, low, high);
  const auto* row = std::find_if(std::begin(kVisionDefaults), std::end(kVisionDefaults),
                                 [&](const auto& candidate) { return candidate.key == key; });
  QSWEEP_CHECK(row != std::end(kVisionDefaults), "no default for {}", key);
  return row->value;
}

VisionConfig read_vision(const ObjectReader& r) {
  VisionConfig c;
  io::check_keys(r, {pretrained_config_keys(), kVisionKeys});
  require_name(r, "model_type", {"qwen2_5_vl", "qwen2_5_vl_vision"});
  require_silu(r);
  if (r.has("rope_parameters")) io::check_keys(r.object("rope_parameters"), {kVisionRopeKeys});
  const auto size = [&](const char* key) { return read_vision_size(r, key, 1, kMaxSize); };
  c.depth = read_vision_size(r, "depth", 1, kMaxLayers);
  c.hidden_size = size("hidden_size");
  c.intermediate_size = size("intermediate_size");
  c.n_heads = size("num_heads");
  c.out_hidden_size = size("out_hidden_size");
  read_vision_size(r, "in_chans", 3, 3);  // another name in older files
  c.in_channels = read_vision_size(r, "in_channels", 3, 3);
  c.patch_size = read_vision_size(r, "patch_size", 1, 1024);
  c.temporal_patch_size = read_vision_size(r, "temporal_patch_size", 1, 16);
  c.spatial_merge_size = read_vision_size(r, "spatial_merge_size", 1, 16);
  c.window_size = size("window_size");
  c.head_dim = divided(r, c.hidden_size, "hidden_size", c.n_heads, "num_heads");
  if (c.head_dim % 4 != 0)
    fail("{}: head size {} is not a multiple of 4, as its two-dimensional rotary positions need", r.path(),
         c.head_dim);
  if (c.window_size < c.patch_size * c.spatial_merge_size)
    fail("{}: \"window_size\" {} is smaller than a merged patch of {} pixels", r.path(), c.window_size,
         c.patch_size * c.spatial_merge_size);
  c.full_attention_blocks = read_full_attention_blocks(r, c.depth);
  return c;
}

// text_config counts; what older files say beside it may not be something else.
void check_repeated(const ObjectReader& top, const ObjectReader& text) {
  for (const KnownKey& key : kTextKeys) {
    const std::string name(key.name);
    if (key.use == ignored || !top.has(name)) continue;
    if (!text.has(name)) fail("{}: \"{}\": expected it inside text_config", top.path(), name);
    if (top.at(name) != text.at(name))
      fail("{}: \"{}\": expected {} as in text_config, found {}", top.path(), name,
           io::shortened(text.at(name)), io::shortened(top.at(name)));
  }
  for (const char* name : {"image_token_id", "video_token_id", "vision_start_token_id"})
    if (top.has(name) && text.has(name) && top.at(name) != text.at(name))
      fail("{}: \"{}\": expected {} as in text_config, found {}", top.path(), name,
           io::shortened(text.at(name)), io::shortened(top.at(name)));
}

}  // namespace

Config read_config(const io::Json& json, const std::string& where) {
  const ObjectReader top(json, where);
  const bool nested = top.has("text_config");
  const ObjectReader text = nested ? top.object("text_config") : top;
  io::check_keys(top, {pretrained_config_keys(), kTopKeys, kTextKeys});
  if (nested) {
    io::check_keys(text, {pretrained_config_keys(), kTextKeys, kRepeatedKeys});
    require_name(text, "model_type", {"qwen2_5_vl", "qwen2_5_vl_text"});
    check_repeated(top, text);
  }
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
  const auto token = [&](const char* key) {
    return static_cast<int32_t>(top.integer_in(key, 0, c.text.vocab_size - 1));
  };
  c.image_token_id = token("image_token_id");
  c.video_token_id = token("video_token_id");
  if (top.has("vision_start_token_id")) c.vision_start_token_id = token("vision_start_token_id");
  return c;
}

}  // namespace qsweep::models::qwen2_5_vl
