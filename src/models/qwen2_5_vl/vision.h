// The vision tower: patches [patches, 3 * 2 * 14 * 14] -> "image_features" [units, hidden size of the
// language model].
#pragma once

#include <vector>

#include "models/qwen2_5_vl/config.h"
#include "models/qwen2_5_vl/weights.h"

namespace qsweep::models::qwen2_5_vl {

// Appends the stages of patch embedding, blocks and merger, and their ops.
void build_vision(const VisionConfig& config, const Weights& weights, std::vector<graph::Stage>& stages,
                  std::vector<graph::LinearOp>& ops);

}  // namespace qsweep::models::qwen2_5_vl
