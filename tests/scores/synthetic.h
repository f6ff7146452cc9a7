// Small runs with known numbers.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "scores/run.h"
#include "support/temporary_folder.h"

namespace qsweep::scores {

// Sums of one sample: `kl` nats over `positions`, of which the last has no target; half of everything is
// answer.
inline ScopedSums sample_sums(double kl, int64_t positions) {
  const MetricSums all{.hidden_sse = 2 * kl,
                       .logits_sse = 4 * kl,
                       .kl = kl,
                       .nll_delta = kl / 8,
                       .top1_flips = 1,
                       .positions = positions,
                       .targets = positions - 1,
                       .hidden_elements = 8 * positions,
                       .logits_elements = 16 * positions};
  MetricSums answer = all;
  answer.kl /= 2;
  answer.positions /= 2;
  answer.targets = answer.positions;
  return {all, answer};
}

inline ScoreRecord make_score(int op, const std::vector<double>& kl, int64_t positions = 10) {
  ScoreRecord score;
  score.op = op;
  score.format = "w8a8";
  score.effective_bits = 8.5;
  for (double value : kl) score.per_sample.push_back(sample_sums(value, positions));
  score.local = LocalStats{.error_sse = 1,
                           .output_sse = 100,
                           .input_min = -2,
                           .input_max = 3,
                           .input_sum_squares = 64,
                           .input_elements = 64,
                           .rows = 4};
  return score;
}

// Four ops of all towers on three samples; scores in w8a8 with sums 6, 12, 12 and 3, and a baseline.
inline Run make_run() {
  Run run;
  run.model = {.path_name = "tiny",
               .family = "qwen2_5_vl",
               .parameters = 1000,
               .weights_sha256_of_headers = "ab",
               .tied_embeddings = true};
  run.data = {.file_name = "eval.jsonl",
              .samples = 3,
              .tokens = 30,
              .answer_tokens = 15,
              .images = 2,
              .image_tokens = 6,
              .sha256 = "cd"};
  run.settings = {{"format", {"w8a8"}}, {"seed", 1}};
  run.provenance = {{"version", "0.1.0"}, {"threads", 2}, {"wall_s", 12.5}};
  run.ops = {{"visual.blocks.0.attn.qkv", "vision", 0, "qkv", 8, 24, 192, {}},
             {"visual.merger.mlp.0", "projector", {}, "mlp.0", 32, 32, 1024, {}},
             {"model.layers.0.self_attn.q_proj", "language", 0, "q_proj", 8, 8, 64, "model.layers.0.qkv"},
             {"model.layers.0.mlp.down_proj", "language", 0, "down_proj", 16, 8, 128, {}}};
  run.scores = {make_score(0, {1, 2, 3}), make_score(1, {3, 4, 5}), make_score(2, {2, 4, 6}),
                make_score(3, {1, 1, 1})};
  Baseline& everything = run.baselines.emplace_back();
  everything.name = "all:w8a8";
  everything.per_sample = make_score(0, {10, 20, 30}).per_sample;
  return run;
}

// The same run, where each op scores alike for all samples.
inline Run steady_run() {
  Run run = make_run();
  run.scores = {make_score(0, {2, 2, 2}), make_score(1, {1, 1, 1}), make_score(2, {4, 4, 4}),
                make_score(3, {3, 3, 3})};
  return run;
}

inline constexpr Metric kKl{};
inline constexpr double kT2 = 4.302652729911275;  // t(0.975, 2 degrees of freedom), from tables

// Of the scores in their order; -1 where one is not ranked.
inline std::vector<int64_t> ranks(const Run& run) {
  std::vector<int64_t> found;
  for (const ScoreRecord& score : run.scores) found.push_back(score.rank.value_or(-1));
  return found;
}

using testing::TemporaryFolder;

}  // namespace qsweep::scores
