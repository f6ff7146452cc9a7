// What Intel Neural Compressor 2.6 gave for the models of testdata/peers, and our runs on the same inputs.
#pragma once

#include <string>

#include "inc/mse_v2.h"
#include "io/json.h"
#include "models/model.h"

namespace qsweep::testing {

inline const std::string kPeers = std::string(QSWEEP_TESTDATA) + "/peers";
inline const std::string kTinyVl = kPeers + "/tiny-vl";

// {"text" | "image" | "trained_text": {"fallback", "requant"}, "qparams_text": {op: {"input", "output"}}}
io::Json peer_results();

std::vector<models::Sample> read_samples(const models::Model& model, const std::string& file);

// The three images and prompts of the image case: pixels as the peer was given them.
graph::Batch image_batch(const models::Model& model);

inline constexpr int64_t kPlenty = int64_t{4} << 30;

// One kind of run with its results kept, so that several tests read one run.
const inc::Maps& tiny_text_run();

}  // namespace qsweep::testing
