// Scores of a model as a forecast of those of another one: a cheap proxy.
#pragma once

#include <vector>

#include "scores/run.h"

namespace qsweep::compare {

// The proxy's scores on the ops of another model. An op gets the sums of the proxy's ops of the same tower
// and role at its relative depth, (block + 1/2) / blocks, linear between the two blocks beside it. Where the
// proxy has no such role, those that do the same count, on average: fc1 and gate_proj with up_proj, q_proj,
// k_proj and v_proj and qkv, and so on. What has no counterpart is skipped. The run has its ops, data and
// finalized scores, of method `transfer` and without intervals, since what they would have to hold is how far
// the models differ; its model, settings, provenance and effective bits are the caller's. Ranked by `metric`.
scores::Run transfer(const scores::Run& proxy, std::vector<scores::OpRecord> ops, scores::Metric metric);

// How well the scores of some ops foretold the others, by the metric.
struct Foretold {
  std::string tower, role;
  int64_t ops = 0;
  double spearman = 0;        // NaN below three ops, or without two different scores on a side
  double share = 0;           // of the model's own error that these ops make
  double foretold_share = 0;  // by the proxy
};

// Groups: all ops (no tower, no role), then each tower (no role) and its roles, in the order of the ops.
struct Check {
  std::string format;
  scores::Mode mode = scores::Mode::isolated;
  std::vector<Foretold> groups;
  int64_t k = 0;                   // a tenth of the ops, at least one
  int64_t overlap = 0;             // of the k most sensitive of both
  double protected_error = 0;      // share of the error that keeping the proxy's first k in float takes away
  double own_protected_error = 0;  // the same of its own first k: the most there is
};

// Of each ranking that both runs have. Error where they are not of the same ops, or have no ranking in
// common.
std::vector<Check> check_transfer(const scores::Run& transferred, const scores::Run& own);

}  // namespace qsweep::compare
