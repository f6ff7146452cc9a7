// The families, and what each of them is given.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "io/json_fwd.h"
#include "models/model.h"

namespace qsweep::models {

// Where a model comes from.
struct Source {
  std::string folder;
  const io::Json& config;  // the content of its config.json
  io::Checkpoint checkpoint;
  LoadOptions options;

  std::string config_path() const { return folder + "/config.json"; }
};

struct Family {
  std::string_view model_type;  // of config.json
  Model (*load)(Source source);
};

std::span<const Family> families();

Model load_gemma3(Source source);
Model load_gemma3_text(Source source);
Model load_llama(Source source);
Model load_mistral(Source source);
Model load_mistral3(Source source);
Model load_qwen2(Source source);
Model load_qwen2_5_vl(Source source);
Model load_qwen2_vl(Source source);
Model load_qwen3(Source source);
Model load_qwen3_moe(Source source);
Model load_gpt_oss(Source source);
Model load_qwen3_vl(Source source);
Model load_qwen3_vl_moe(Source source);

}  // namespace qsweep::models
