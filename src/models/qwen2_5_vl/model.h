// Qwen2.5-VL (Bai et al. 2025): a vision transformer with window attention, a 2 x 2 merger, and a Qwen2.5
// language model with three-dimensional rotary positions.
#pragma once

#include "io/json_fwd.h"
#include "models/model.h"

namespace qsweep::models::qwen2_5_vl {

Model load(const std::string& folder, const io::Json& config, io::Checkpoint checkpoint,
           const LoadOptions& options);

}  // namespace qsweep::models::qwen2_5_vl
