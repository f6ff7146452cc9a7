// config.json of Qwen2.5-VL.
#pragma once

#include <cstdint>
#include <vector>

#include "models/qwen_vl.h"

namespace qsweep::models::qwen2_5_vl {

struct VisionConfig {
  int64_t depth = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t n_heads = 0;
  int64_t head_dim = 0;
  int64_t window_size = 0;  // pixels
  std::vector<int64_t> full_attention_blocks;
};

struct Config : qwen_vl::Config {
  VisionConfig vision;
};

// Error on a missing key, one that is not known, or a value that is not implemented; `where` is the file's
// name. A vision_config may leave out what has a default.
Config read_config(const io::Json& json, const std::string& where);

}  // namespace qsweep::models::qwen2_5_vl
