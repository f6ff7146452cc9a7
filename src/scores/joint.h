// The error of many ops quantized at once, predicted from the errors of the single ones.
//
// Errors of single ops nearly add up, but their joint error grows faster. How much faster is measured once
// per format, with everything quantized: with S the sum over a set, S_all the sum over all ops and kappa =
// (error of all:FORMAT) / S_all,
//
//   predicted = S (1 + (kappa - 1) S / S_all),
//
// and for a set in several formats, S = sum_f S_f, predicted = S (1 + sum_f (kappa_f - 1) S_f / S_all_f). The
// errors of measured groups stand for those of their ops in all of these sums.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "scores/interactions.h"
#include "scores/run.h"

namespace qsweep::scores {

// Errors are sums over the positions of the data, of one metric.
struct JointFormat {
  std::map<std::string, double> errors;  // isolated, by op name; also those of representatives (spread)
  // Of groups that were measured: names of their ops, and their errors, which stand for those of the ops.
  std::vector<std::vector<std::string>> groups;
  std::vector<double> group_errors;
  double sum_all = 0;                  // of all ops
  std::optional<double> measured_all;  // all:FORMAT
  // measured_all / sum_all. None where it would not be the share of what all:FORMAT quantizes: an op that is
  // neither float there nor out of the data's reach has no score.
  std::optional<double> kappa;
  std::vector<std::string> unscored;  // ops without a score

  // Of these ops, which all have errors: of measured groups among them (take_groups), and of single ops.
  double sum(std::set<std::string> ops) const;
};

struct Prediction {
  Metric metric;
  double plain_sum = 0;             // over the ops that have a score
  std::optional<double> corrected;  // the formula above; none where a kappa is missing
  // The sum and how errors align (interactions.h); none where that of some score is not known.
  std::optional<double> with_pairs = {};
  int64_t positions = 0;  // of the data that the scores are from, to compare per position
  std::vector<std::pair<std::string, std::string>> missing;  // (op, format) without a score

  bool complete() const { return missing.empty(); }
  // What is known best.
  std::optional<double> best() const { return with_pairs ? with_pairs : corrected; }
};

// The isolated scores that stand for each format: the exact ones that measured the metric, else those of the
// first method that did. Formats without any are left out.
std::vector<ScoreGroup> isolated_groups(const Run& run, Metric metric);

class JointModel {
 public:
  // From isolated_groups() of a finalized run.
  static JointModel from_run(const Run& run, Metric metric);

  const std::map<std::string, JointFormat>& formats() const { return formats_; }
  Metric metric() const { return metric_; }

  // `formats`: format by op name; ops that are not in it stay float.
  Prediction predict(const std::map<std::string, std::string>& formats) const;

 private:
  Metric metric_;
  int64_t positions_ = 0;
  std::map<std::string, JointFormat> formats_;
};

// For each of kRankingMetrics that the run measured.
std::vector<Prediction> predict_all(const Run& run, const std::map<std::string, std::string>& formats,
                                    std::span<const MetricInteractions> pairs = {});

}  // namespace qsweep::scores
