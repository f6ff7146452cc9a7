// What Intel Neural Compressor 2.6 gave for the models of testdata/peers, and our runs on the same inputs.
#pragma once

#include "inc/mse_v2.h"
#include "io/json.h"
#include "support/peers.h"

namespace qsweep::testing {

// {"text" | "image" | "trained_text": {"fallback", "requant"}, "qparams_text": {op: {"input", "output"}}}
io::Json peer_results();

// All samples of the image case; the model is that of load_image_model().
graph::Batch image_batch(const models::Model& model);

inline constexpr int64_t kPlenty = int64_t{4} << 30;

// One kind of run with its results kept, so that several tests read one run.
const inc::Maps& tiny_text_run();

}  // namespace qsweep::testing
