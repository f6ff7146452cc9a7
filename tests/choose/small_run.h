// A run of seven ops in two formats, with known scores.
#pragma once

#include "scores/finalize.h"
#include "scores/interactions.h"
#include "scores/synthetic.h"

namespace qsweep::choose {

// Layer 0 has q, k and v in a fusion group and down; layer 1 has down; then the vision block's qkv, and
// lm_head. Scores, in w8a8 and w4a16_g32: 1 to 7 and 10 to 70 over three samples of 10 positions, in the
// order of the ops.
inline scores::Run small_run() {
  scores::Run run;
  run.model = {.path_name = "small",
               .family = "qwen2_5_vl",
               .parameters = 5000,
               .weights_sha256_of_headers = "ab",
               .other_bytes = 1000};
  run.data = {.file_name = "eval.jsonl",
              .samples = 3,
              .tokens = 30,
              .answer_tokens = 15,
              .images = 1,
              .sha256 = "cd"};
  const std::string layer = "model.layers.0.";
  run.ops = {{layer + "self_attn.q_proj", "language", 0, "q_proj", 64, 8, 512, layer + "self_attn.qkv"},
             {layer + "self_attn.k_proj", "language", 0, "k_proj", 64, 4, 256, layer + "self_attn.qkv"},
             {layer + "self_attn.v_proj", "language", 0, "v_proj", 64, 4, 256, layer + "self_attn.qkv"},
             {layer + "mlp.down_proj", "language", 0, "down_proj", 96, 8, 768, {}},
             {"model.layers.1.mlp.down_proj", "language", 1, "down_proj", 96, 8, 768, {}},
             {"visual.blocks.0.attn.qkv", "vision", 0, "qkv", 32, 16, 512, {}},
             {"lm_head", "language", {}, "lm_head", 64, 16, 1024, {}}};
  for (const auto& [format, factor] : {std::pair{"w8a8", 1.0}, {"w4a16_g32", 10.0}})
    for (int op = 0; op < 7; ++op) {
      run.scores.push_back(scores::make_score(op, {0, factor * (op + 1) / 2, factor * (op + 1) / 2}));
      run.scores.back().format = format;
    }
  for (const auto& [format, error] : {std::pair{"all:w8a8", 56.0}, {"all:w4a16_g32", 140.0}}) {
    scores::Baseline& baseline = run.baselines.emplace_back();
    baseline.name = format;
    baseline.per_sample = scores::make_score(0, {0, 0, error}).per_sample;
  }
  finalize(run, {}, 1);
  return run;
}

// Index of a score of small_run().
inline size_t score_of(size_t op, bool four_bits) { return op + (four_bits ? 7 : 0); }

// Products C_ij = 0.01 (i + 1) (j + 1) between all scores.
inline scores::Interactions small_interactions() {
  std::vector<size_t> all;
  std::vector<double> products;
  for (size_t i = 0; i < 14; ++i) {
    all.push_back(i);
    for (size_t j = 0; j < 14; ++j) products.push_back(0.01 * static_cast<double>((i + 1) * (j + 1)));
  }
  return {all, products};
}

}  // namespace qsweep::choose
