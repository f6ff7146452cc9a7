#include "models/qwen2_5_vl/config.h"

#include <algorithm>

#include "models/config_keys.h"
#include "models/config_values.h"

namespace qsweep::models::qwen2_5_vl {
namespace {

using io::KnownKey;
using io::ObjectReader;
using enum io::KeyUse;

constexpr KnownKey kTextKeys[] = {
    {"attention_bias", only, "true"},      {"qk_norm", only, "false"},
    {"use_mrope", only, "true"},           {"use_qk_norm", only, "false"},
    {"use_sliding_window", only, "false"}, {"max_window_layers", ignored},
    {"sliding_window", ignored},
};
constexpr TextRules kTextRules{.keys = kTextKeys, .mrope = Mrope::blocks};

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

// The defaults of transformers' Qwen2_5_VLVisionConfig (models/qwen2_5_vl/configuration_qwen2_5_vl.py), of
// which transformers 4.49 writes only what differs. A tower may be shallower than they say, but not than its
// own blocks.
std::vector<int64_t> read_full_attention_blocks(const ObjectReader& r, int64_t depth) {
  if (!r.has("fullatt_block_indexes")) {
    std::vector<int64_t> blocks{7, 15, 23, 31};
    std::erase_if(blocks, [&](int64_t block) { return block >= depth; });
    return blocks;
  }
  const std::vector<int64_t> blocks = r.integers("fullatt_block_indexes");
  for (const int64_t block : blocks)
    if (block < 0 || block >= depth)
      fail("{}: \"fullatt_block_indexes\": {} is not a block of {}", r.path(), block, depth);
  return blocks;
}

VisionConfig read_vision(const ObjectReader& r, const qwen_vl::Config& config) {
  const image::ModelImages& images = config.images.geometry;
  io::check_keys(r, {pretrained_config_keys(), kVisionKeys});
  require_name(r, "model_type", {"qwen2_5_vl", "qwen2_5_vl_vision"});
  require_name(r, "hidden_act", {"silu", "swish"});
  VisionConfig c;
  c.depth = size_or(r, "depth", 32, kMaxLayers);
  c.hidden_size = size_or(r, "hidden_size", 3584);
  c.intermediate_size = size_or(r, "intermediate_size", 3420);
  c.n_heads = size_or(r, "num_heads", 16);
  c.head_dim = qwen_vl::read_head_dim(r, c.hidden_size, c.n_heads);
  qwen_vl::check_features(r, "out_hidden_size", size_or(r, "out_hidden_size", 3584), config.text);
  c.window_size = size_or(r, "window_size", 112);
  if (c.window_size < images.patch_size * images.merge_size)
    fail("{}: \"window_size\" {} is smaller than a merged patch of {} pixels", r.path(), c.window_size,
         images.patch_size * images.merge_size);
  c.full_attention_blocks = read_full_attention_blocks(r, c.depth);
  return c;
}

}  // namespace

Config read_config(const io::Json& json, const std::string& where) {
  Config c{qwen_vl::read_config(json, where, kTextRules, {"qwen2_5_vl", "qwen2_5_vl_text"}, 14), {}};
  c.vision = read_vision(ObjectReader(json, where).object("vision_config"), c);
  return c;
}

}  // namespace qsweep::models::qwen2_5_vl
