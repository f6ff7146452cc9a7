// The language model: tokens and image features -> logits.
#pragma once

#include <vector>

#include "models/qwen2_5_vl/config.h"
#include "models/qwen2_5_vl/weights.h"

namespace qsweep::models::qwen2_5_vl {

// Appends the stages of token embedding, decoder layers, final norm and head, and their ops.
void build_text(const TextConfig& config, bool tied_embeddings, const Weights& weights,
                std::vector<graph::Stage>& stages, std::vector<graph::LinearOp>& ops);

}  // namespace qsweep::models::qwen2_5_vl
