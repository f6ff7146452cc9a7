// One run: its records, and what they are of.
#pragma once

#include <optional>
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
  std::vector<GroupScore> groups = {};  // measured beside the scores, and never ranked with them
  Metric ranking_metric;                // stands in settings["metric"] in the file
  // What the run itself ranks by, where its scores were ranked anew (rank_by).
  std::optional<Metric> reranked_from = {};
  // Scores of all methods are ranked together; settings["method"] is "auto" in the file.
  bool joint_ranking = false;
};

inline double ranking_value(const Run& run, const ScoreRecord& score) {
  return ranking_value(score, run.ranking_metric);
}

// The same as a mean: per position (per target for nll_delta); of method `local` the relative error itself.
double mean_value(const Run& run, const ScoreRecord& score);
// What it is a mean of: "kl:all", or "relative_error" of method `local`; and its interval.
std::string ranked_by(const Run& run, const ScoreRecord& score);
std::optional<Interval> ranking_interval(const Run& run, const ScoreRecord& score);

// What errors of many ops are made of: parts, by number. First come the scores, by their indexes, then the
// groups.
inline size_t part_of_group(const Run& run, size_t group) { return run.scores.size() + group; }
const Measurement& part(const Run& run, size_t number);
std::vector<std::string> op_names(const Run& run, const GroupScore& group);
// Of the single ops of a group: the sum of their exact isolated scores in its format; NaN where one has none.
double sum_of_ops(const Run& run, const GroupScore& group, Metric metric);

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
