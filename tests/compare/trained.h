// Rankings of the trained tiny model, from the brute-force scores in testdata.
#pragma once

#include <string>

#include "io/json.h"
#include "scores/finalize.h"
#include "scores/run.h"

namespace qsweep::compare {

inline std::string testdata(const std::string& path) { return std::string(QSWEEP_TESTDATA) + "/" + path; }

inline std::string tower_of(const std::string& op) {
  if (op.starts_with("visual.merger.")) return "projector";
  return op.starts_with("visual.") ? "vision" : "language";
}

// q, k and v of a layer, gate and up of a block.
inline std::optional<std::string> fusion_group_of(const std::string& op) {
  const size_t dot = op.rfind('.');
  const std::string role = op.substr(dot + 1);
  for (const char* part : {"q_proj", "k_proj", "v_proj"})
    if (role == part) return op.substr(0, dot) + ".qkv";
  for (const char* part : {"gate_proj", "up_proj"})
    if (role == part) return op.substr(0, dot) + ".gate_up";
  return std::nullopt;
}

inline scores::ScopedSums sums_of(const io::Json& score) {
  scores::ScopedSums sums;
  for (scores::Scope scope : scores::kAllScopes) {
    const io::Json& json = score.at(std::string(name(scope)));
    sums.of(scope) = {.hidden_sse = json.at("hidden_sse"),
                      .logits_sse = json.at("logits_sse"),
                      .kl = json.at("kl"),
                      .nll_delta = json.at("nll_delta"),
                      .top1_flips = json.at("top1_flips"),
                      .positions = json.at("n_positions"),
                      .targets = json.at("n_targets"),
                      .hidden_elements = json.at("n_hidden"),
                      .logits_elements = json.at("n_logits")};
  }
  return sums;
}

// A run with the scores of testdata/scores/`file`, as of one sample.
inline scores::Run trained_run(const std::string& file, scores::Mode mode) {
  const io::Json json = io::read_json_file(testdata("scores/" + file));
  scores::Run run;
  run.model = {.path_name = "tiny", .family = "qwen2_5_vl", .parameters = 1, .weights_sha256_of_headers = ""};
  run.data.samples = 1;
  for (const auto& item : json.at("ops").items()) {
    scores::ScoreRecord score;
    score.op = static_cast<int>(run.ops.size());
    score.format = "w8a8";
    score.mode = mode;
    score.per_sample = {sums_of(item.value())};
    run.scores.push_back(score);
    scores::OpRecord op;
    op.name = item.key();
    op.tower = tower_of(op.name);
    op.fusion_group = fusion_group_of(op.name);
    run.ops.push_back(op);
  }
  scores::Baseline& everything = run.baselines.emplace_back();
  everything.name = "all:w8a8";
  everything.per_sample = {sums_of(json.at("all_ops_quantized"))};
  finalize(run, {}, 1);
  return run;
}

}  // namespace qsweep::compare
