// Recipes that were evaluated: what each does to the output, beside what scores predicted.
//
// The schema of eval.json, "qsweep.eval/1":
//
//   model, data, settings, provenance    as in scores.json
//   sample_positions    {all: [...], answer: [...]}: positions of every sample of the data
//   recipes[]    name, rules_file, formats {format: number of ops}, float_ops, quantized_ops (numbers),
//                effective_bits, uncalibrated [op names], unexercised [op names], ops {op: format},
//                mixed_groups {fusion group: {op: format}}, metrics (null where a sum is not finite),
//                sample_errors {all: [...], answer: [...]}: sums of the ranking metric by sample (null where
//                one is not finite), predicted (null without scores to predict from)
//   predicted[]  metric, corrected, with_pairs (null where unknown), plain_sum, positions, missing [op names]
#pragma once

#include <map>
#include <string>
#include <vector>

#include "scores/joint.h"
#include "scores/run.h"

namespace qsweep::scores {

inline constexpr std::string_view kEvalSchema = "qsweep.eval/1";

// By scope and sample.
template <class T>
using BySample = std::array<std::vector<T>, kAllScopes.size()>;

struct EvalRecipe : Measurement {
  std::string name;
  std::string rules_file;                  // the file's name
  std::map<std::string, std::string> ops;  // format by op name, of the ops that were quantized
  int64_t float_ops = 0;                   // number of the other ops
  double effective_bits = 0;               // mean over all parameters of ops, float ones at 16
  std::vector<std::string> uncalibrated;   // ops that the recipe quantizes and that had to stay float
  std::vector<std::string>
      unexercised;  // quantized ops that no sample reaches: without effect on the metrics
  // Fusion groups with more than one format, "float" among them: format by op name.
  std::map<std::string, std::map<std::string, std::string>> mixed_groups;
  std::vector<Prediction> predicted;  // by predict_all; empty without scores
  // Sums of the ranking metric; empty where one is not finite, or of files that do not have them.
  BySample<double> sample_errors;

  std::map<std::string, int64_t> ops_by_format() const;
  const Prediction* prediction(Metric metric) const;  // null where there is none
};

struct EvalRun {
  ModelInfo model;
  DataInfo data;
  io::Json settings = io::Json::object();
  io::Json provenance = io::Json::object();
  Metric ranking_metric;               // stands in settings["metric"]
  BySample<int64_t> sample_positions;  // that the ranking metric's sums are over
  std::vector<EvalRecipe> recipes;
};

// Fills mixed_groups of the recipe, whose formats are known, with ops of the model that it is for.
void find_mixed_groups(EvalRecipe& recipe, const std::vector<OpRecord>& ops);

// Totals, intervals and errors by sample of every recipe, each by itself; records the metric in
// settings["metric"].
void finalize(EvalRun& run, Metric ranking);

io::Json to_json(const EvalRun& run);
// `where` names the source in errors. Unknown keys are ignored.
EvalRun eval_from_json(const io::Json& json, const std::string& where);
// One row per recipe: recipe, rules_file, effective_bits, quantized_ops, float_ops, uncalibrated and
// unexercised (joined by ";"), the sums and counts of both scopes, ranking_metric with its interval, and what
// was predicted for each of kRankingMetrics (predicted_kl_all_corrected, ...).
std::string to_csv(const EvalRun& run);

// Replaces eval.json and eval.csv in the folder, each atomically.
void write_eval(const EvalRun& run, const std::string& folder);
// Reads eval.json of the folder.
EvalRun read_eval(const std::string& folder);

}  // namespace qsweep::scores
