// One run: its records, and what they are of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"
#include "scores/record.h"

namespace qsweep::scores {

struct Run {
  ModelInfo model;
  DataInfo data;
  io::Json settings = io::Json::object();  // every flag as resolved
  io::Json provenance = io::Json::object();
  std::vector<OpRecord> ops;
  std::vector<Baseline> baselines;
  std::vector<Reliability> reliability;
  std::vector<VerifiedScore> verification;
  std::vector<ScoreRecord> scores;
  Metric ranking_metric;  // stands in settings["metric"] in the file
  // Scores of all methods are ranked together; settings["method"] is "auto" in the file.
  bool joint_ranking = false;
};

inline double ranking_value(const Run& run, const ScoreRecord& score) {
  return ranking_value(score, run.ranking_metric);
}

// Scores that are ranked together: indexes into Run::scores in op order.
struct ScoreGroup {
  std::string format;
  Mode mode;
  Method method;  // automatic in a joint ranking
  std::vector<size_t> members;
};
// Groups in the order of their first score.
std::vector<ScoreGroup> group_scores(const Run& run);

}  // namespace qsweep::scores
