// Good runs and what they wrote.
#pragma once

#include <string>
#include <vector>

#include "program.h"

namespace qsweep::cli {

inline constexpr size_t kOps = 76, kLanguageOps = 43, kVisionOps = 33;  // of the tiny model

// Nats over all positions, of an entry of scores.json or eval.json.
inline double kl(const io::Json& measurement) { return measurement["metrics"]["all"]["kl"]; }

// The files of a finished run and what the program said.
struct ScoreRun {
  Outcome outcome;
  std::string folder;
  io::Json json;  // scores.json; null where the program failed

  const io::Json& scores() const { return json["scores"]; }
  // Names of the ops whose score has this status, in model order.
  std::vector<std::string> ops_with(const std::string& status) const;
  // KL sums over all positions of the scores that have metrics, in model order.
  std::vector<double> kl_sums() const;
};

// Scores the model with the captions, three of them, unless `flags` has its own --data or --samples. A
// failure of the program is a failure of the test.
ScoreRun score_run(const Workplace& place, const std::string& name, const std::string& model,
                   const Arguments& flags);

// The same for an evaluation of recipes.
struct EvalRun {
  Outcome outcome;
  std::string folder;
  io::Json json;  // eval.json

  const io::Json& recipe(size_t i) const { return json["recipes"].at(i); }
};
EvalRun eval_run(const Workplace& place, const std::string& name, const std::string& model,
                 const Arguments& flags);

// Median of |a - b| / |b|; infinite unless both are equally long and every b is positive.
double median_relative_difference(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace qsweep::cli
