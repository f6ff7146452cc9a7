#include "models/qwen2_5_vl/model.h"

#include <cstring>

#include "graph/forward.h"
#include "io/json.h"
#include "models/qwen2_5_vl/inputs.h"
#include "models/qwen2_5_vl/text.h"
#include "models/qwen2_5_vl/vision.h"
#include "tensor/floats.h"

namespace qsweep::models::qwen2_5_vl {

namespace {

// config.json and the checkpoint must agree on the head. A tied model uses its embedding; other numbers that
// are stored as a head would silently not be scored.
void check_head(bool tied, const Config& config, const Weights& weights, const io::Checkpoint& checkpoint) {
  const Shape shape{config.text.vocab_size, config.text.hidden_size};
  if (!tied) {
    with_context("config.json says \"tie_word_embeddings\": false",
                 [&] { weights.get("lm_head.weight", shape); });
    return;
  }
  if (!weights.has("lm_head.weight")) return;
  const TensorView head = weights.get("lm_head.weight", shape);
  const TensorView embedding = weights.get("model.embed_tokens.weight", shape);
  const bool same = head.dtype == embedding.dtype
                        ? std::memcmp(head.data, embedding.data, static_cast<size_t>(head.size_bytes())) == 0
                        : equal_values(head, embedding);
  if (!same)
    fail(
        "tensor \"lm_head.weight\" differs from the embedding, but config.json says that they are tied "
        "(\"tie_word_embeddings\": true); set it to false to score the head that is stored");
  checkpoint.release(head);
  checkpoint.release(embedding);
}

}  // namespace

Model load(const std::string& folder, const io::Json& json, io::Checkpoint checkpoint,
           const LoadOptions& options) {
  const Config config = read_config(json, folder + "/config.json");
  Model model{.family = "qwen2_5_vl", .checkpoint = std::move(checkpoint)};
  const Weights weights(model.checkpoint);
  model.tied_embeddings = config.tie_word_embeddings.value_or(!weights.has("lm_head.weight"));
  with_context(folder, [&] { check_head(model.tied_embeddings, config, weights, model.checkpoint); });
  model.hidden_size = config.text.hidden_size;
  model.vocab_size = config.text.vocab_size;
  build_vision(config.vision, weights, model.stages, model.ops);
  build_text(config.text, model.tied_embeddings, weights, model.stages, model.ops);
  graph::resolve_lifetimes(model.stages);
  model.unused_tensors = weights.unused();
  model.max_positions = config.text.max_positions;
  model.inputs = std::make_unique<Inputs>(folder, config, options);
  return model;
}

}  // namespace qsweep::models::qwen2_5_vl
