// An evaluation with known numbers.
#pragma once

#include <cmath>

#include "scores/eval.h"
#include "scores/finalize.h"
#include "scores/synthetic.h"

namespace qsweep::scores {

// Three recipes on the ops of make_run(): one predicted in full (plain sum 18, kappa 60/33), one with an op
// that has no score in its format, and one that overflowed, without predictions.
inline EvalRun make_eval() {
  Run scores = make_run();
  finalize(scores, {}, 1);
  const auto recipe = [&](const std::string& name, const std::vector<double>& kl,
                          const std::map<std::string, std::string>& ops) {
    EvalRecipe r;
    r.name = name;
    r.rules_file = name + ".json";
    r.ops = ops;
    r.float_ops = static_cast<int64_t>(scores.ops.size() - ops.size());
    r.effective_bits = 6.5;
    r.per_sample = make_score(0, kl).per_sample;
    r.predicted = predict_all(scores, ops);
    return r;
  };
  const std::string qkv = scores.ops[0].name, q = scores.ops[2].name, down = scores.ops[3].name;
  EvalRun run;
  run.model = scores.model;
  run.data = scores.data;
  run.settings = {{"seed", 1}};
  run.provenance = {{"version", "0.1.0"}, {"wall_s", 3.5}};
  run.recipes = {recipe("mixed", {5, 10, 15}, {{qkv, "w8a8"}, {q, "w8a8"}}),
                 recipe("unscored", {5, 10, 25}, {{qkv, "w8a8"}, {q, "w8a8"}, {down, "mxfp4"}}),
                 recipe("broken", {5, NAN, 15}, {{qkv, "w8a8"}})};
  run.recipes[1].uncalibrated = {scores.ops[1].name};
  run.recipes[0].unexercised = {qkv};
  run.recipes[2].predicted.clear();
  finalize(run, {});
  return run;
}

}  // namespace qsweep::scores
