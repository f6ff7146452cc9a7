// Where two recipes differ, and what that costs by the scores of a run.
//
// What is predicted is quadratic in the choice, so the difference of two recipes' errors is shared out over
// the ops that differ without a rest. With S and C as in problem.h and the formats A_i and B_i of op i,
//
//   share_i = S(B_i) - S(A_i) + sum_{j != i} [C(B_i, A_j) + C(B_i, B_j) - C(A_i, A_j) - C(A_i, B_j)],
//
// the mean of what the change of op i adds as the first of all changes and as the last one. By kappa
// (scores/joint.h), where predicted = S (1 + G) with S = sum s_j and G = sum g_j, it is in the same way
//
//   share_i = (s(B_i) - s(A_i)) (1 + mean G) + (g(B_i) - g(A_i)) mean S,   means of A and B.
//
// Both are of single ops, whatever groups the run has measured.
#pragma once

#include "choose/spectrum.h"

namespace qsweep::choose {

using FormatPerOp = std::vector<const quant::Format*>;  // null: float

// One of two recipes. Errors are per position and leave out what is unscored.
struct Side {
  int64_t stored_bits = 0;
  double effective_bits = 0;
  std::optional<int64_t> checkpoint_bytes;     // where the run knows what else the checkpoint holds
  std::optional<double> predicted, plain_sum;  // none where nothing predicts
  std::vector<std::string> unscored;           // quantized ops without a score in their format
};

// An op, or all ops of a fusion group where they change together.
struct Change {
  std::string name;
  std::vector<size_t> ops;                             // indexes into Run::ops
  const quant::Format *from = nullptr, *to = nullptr;  // in A and in B; null: float
  int64_t stored_bits = 0;                             // B's less A's
  std::optional<double> error;                         // share per position; none where an op is unscored
};

struct Difference {
  scores::Metric metric;
  std::optional<Predictor> predictor;  // none where the run has no isolated scores of the metric
  int64_t positions = 0;
  Side a, b;
  std::vector<Change> changes;  // in the order of the ops
  size_t same = 0;              // ops of one format in both
  std::optional<double> error;  // predicted, B's less A's; none where a share is missing
};

// Error where the data has no positions of the metric's scope.
Difference difference(const scores::Run& run, const FormatPerOp& a, const FormatPerOp& b,
                      scores::Metric metric, const std::optional<scores::Interactions>& interactions);

}  // namespace qsweep::choose
