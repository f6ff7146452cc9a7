// Synthetic checkpoints: the shapes of a real one, with random weights.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/parallel.h"

namespace qsweep::synth {

struct Options {
  uint64_t seed = 0;
  std::optional<int64_t> layers = {};         // of the language model; empty: the config's
  std::optional<int64_t> vision_layers = {};  // likewise
  // Weights of zeros, which take no room on the disk: to plan runs of models that are too large to write.
  bool sparse = false;
  Threads threads = {};
  // Called now and then with the bytes written and those to write, and the tensor at work.
  std::function<void(int64_t done_bytes, int64_t total_bytes, const std::string& tensor)> progress = {};
};

// Writes the new folder `out`: a checkpoint for the config.json in `config_folder` (of which the weights, if
// any, are not read) with bf16 weights, that folder's preprocessor and tokenizer files, and a stand-in
// tokenizer.json with the tokens of the model's prompts where it has none. The same seed gives the same files
// on any number of threads. Error for a config that models::load refuses, an `out` that is not empty, or too
// little room on the disk; then nothing is left at `out`.
void synthesize(const std::string& config_folder, const std::string& out, const Options& options);

}  // namespace qsweep::synth
