// config.json of Qwen2.5-VL, in the flat layout of the published checkpoints or the nested one (text_config)
// of newer transformers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json_fwd.h"

namespace qsweep::models::qwen2_5_vl {

struct TextConfig {
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = INT64_MAX;  // tokens that a sample may have
  double rms_norm_eps = 0;
  double rope_theta = 0;
  std::array<int64_t, 3> mrope_section{};  // frequencies that turn by time, height and width
};

struct VisionConfig {
  int64_t depth = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t n_heads = 0;
  int64_t head_dim = 0;
  int64_t out_hidden_size = 0;
  int64_t in_channels = 0;
  int64_t patch_size = 0;           // pixels
  int64_t temporal_patch_size = 0;  // frames
  int64_t spatial_merge_size = 0;   // patches per side of a merged unit
  int64_t window_size = 0;          // pixels
  std::vector<int64_t> full_attention_blocks;

  int64_t patch_dim() const { return in_channels * temporal_patch_size * patch_size * patch_size; }
  int64_t merge_unit() const { return spatial_merge_size * spatial_merge_size; }
};

struct Config {
  TextConfig text;
  VisionConfig vision;
  std::optional<bool> tie_word_embeddings;  // empty: the checkpoint decides
  int32_t image_token_id = 0;
  int32_t video_token_id = 0;
  std::optional<int32_t> vision_start_token_id;  // stands before every image
};

// Error on a missing key, one that is not known, or a value that is not implemented; `where` is the file's
// name. A vision_config may leave out what has a default.
Config read_config(const io::Json& json, const std::string& where);

}  // namespace qsweep::models::qwen2_5_vl
