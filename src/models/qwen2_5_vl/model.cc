#include "models/qwen2_5_vl/model.h"

#include "graph/forward.h"
#include "models/qwen2_5_vl/inputs.h"
#include "models/qwen2_5_vl/text.h"
#include "models/qwen2_5_vl/vision.h"

namespace qsweep::models::qwen2_5_vl {

Model load(const std::string& folder, const io::Json& json, const LoadOptions& options) {
  const Config config = read_config(json, folder + "/config.json");
  Model model{.family = "qwen2_5_vl", .checkpoint = io::Checkpoint::open(folder)};
  const Weights weights(model.checkpoint);
  model.tied_embeddings = config.tie_word_embeddings.value_or(!weights.has("lm_head.weight"));
  model.hidden_size = config.text.hidden_size;
  model.vocab_size = config.text.vocab_size;
  build_vision(config.vision, weights, model.stages, model.ops);
  build_text(config.text, model.tied_embeddings, weights, model.stages, model.ops);
  graph::resolve_lifetimes(model.stages);
  model.inputs = std::make_unique<Inputs>(folder, config, options);
  return model;
}

}  // namespace qsweep::models::qwen2_5_vl
