// How far two rankings of a model's ops agree.
//
// Ranks are of sensitivities: 1 is the most sensitive op on either side, whichever way its scores run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compare/ranking.h"
#include "io/json_fwd.h"
#include "scores/run.h"

namespace qsweep::compare {

inline constexpr std::string_view kSchema = "qsweep.compare/1";

// What both sides have a score for: an op, or the ops that the other tool scored together, on our side
// summed.
struct Unit {
  std::string name;                  // of the op, or of the other tool's group
  std::vector<std::string> members;  // ops of the run
  std::string tower;                 // of the first member
  double run_score = 0, other_score = 0;
  double run_rank = 0, other_rank = 0;  // among all units; equal scores share the mean of their ranks
};

struct TopK {
  int64_t k = 0;
  std::optional<int64_t> percent;  // k is this share of the units
  // Units among the first k of both sides. Of equal scores at the edge each counts by its chance to be drawn.
  double overlap = 0;
};

// Correlations are NaN where a side has fewer than two different scores.
struct Statistics {
  int64_t units = 0;
  double spearman = 0, kendall = 0;  // tau-b
  std::vector<TopK> top;             // only k below the number of units
};

// Ops of a tower to which a side gave one and the same score: it has no ranking among them. On the other side
// also ops that the run has no score for.
struct Indistinct {
  bool of_run = false;  // else the other side's
  std::string tower;
  double score = 0;
  int64_t units = 0, of = 0;  // of so many units of the tower
};

struct Unscored {
  std::string name, why;
};

struct Agreement {
  Ranking run, other;
  std::vector<Unit> units;  // in the run's op order
  Statistics all;
  std::optional<Statistics> distinguished;  // where a side has equal scores: only units that both tell apart
  std::vector<Indistinct> indistinct;       // the largest first
  std::vector<size_t> outliers;             // in `units`, the largest difference of ranks first
  std::vector<std::string> only_in_run, only_in_other;
  std::vector<Unscored> unscored_in_run, unscored_in_other;  // the other side has a score for them
  std::vector<std::string> warnings;  // why the sides may differ for another reason than their scores (fit.h)
};

// `ops` are those of the run. Error where nothing matches, where two scores are of one op, or where a group
// cannot be summed.
Agreement compare(const std::vector<scores::OpRecord>& ops, const Ranking& run, const Ranking& other);

io::Json to_json(const Agreement& agreement);
// One as it is; several as {"schema", "comparisons": [...]}.
io::Json to_json(const std::vector<Agreement>& agreements);

}  // namespace qsweep::compare
