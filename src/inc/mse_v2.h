// What Intel Neural Compressor 2.6's mse_v2 strategy scores, computed the way it computes it: see
// docs/comparison-inc.md.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "inc/pass.h"

namespace qsweep::inc {

// Op name -> squared error of the logits, summed over all tokens and the whole vocabulary.
using ScoreMap = std::vector<std::pair<std::string, double>>;

struct Maps {
  ScoreMap fallback;                                         // all ops quantized but this one
  ScoreMap requant;                                          // the ops up to and with this one quantized
  double all_quantized = 0;                                  // all of them
  std::vector<std::pair<std::string, LinearRanges>> ranges;  // of the linear ops that the data reaches
};

struct Progress {
  std::string what;  // the stage that was finished
  double done = 0, total = 0;
};

struct Options {
  int64_t memory_bytes = 0;  // of the whole process; Error where it cannot do
  std::function<void(const Progress&)> progress = {};
};

// All samples are one calibration batch, as INC's dataloader would hand them over, without padding.
Maps mse_v2(const models::Model& model, const ops::Context& ops, const std::vector<models::Sample>& samples,
            const Options& options);
Maps mse_v2(const models::Model& model, const ops::Context& ops, const graph::Batch& batch,
            const Options& options);

// folder/inc_mse_v2.json: {"fallback": {op: score}, "requant": {op: score}}, in INC's order of ops.
void write_maps(const Maps& maps, const std::string& folder);

}  // namespace qsweep::inc
