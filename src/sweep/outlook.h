// What a score run is going to do: the status of every (op, format), and the variants that answer its
// question.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/model.h"
#include "pass/variant.h"
#include "scores/record.h"

namespace qsweep::sweep {

// Which ops are measured. Of others with a block the score is that of a representative, the op of the same
// tower and role in one block of every four, or in one of all.
enum class Coarse { none, block, role };

struct ScoreOptions {
  std::vector<const quant::Format*> formats;
  scores::Mode mode = scores::Mode::isolated;
  scores::Method method = scores::Method::exact;  // others: isolated scores only
  // adjoint, auto: to estimate beside the ranking one. exact: these alone and the ranking one are wanted; all
  // where there is none.
  std::vector<scores::Metric> metrics;
  int64_t probes = 4;
  bool hutchinson = false;              // hawq: the trace by random probes
  std::optional<double> time_budget_s;  // auto: exact scores until then
  std::string keep_float = "*";         // requantize: the ops that start in float; shell pattern
  std::string ops_glob = "*";           // over op names; shell pattern, `*` also crosses dots
  std::optional<int64_t> max_ops;       // the first so many in model order of those that match
  // exact, isolated: groups of ops that are measured too, by the names of groupings (scores::Grouping) or as
  // shell patterns; those with several ops.
  std::vector<std::string> groups = {};
  Coarse coarse = Coarse::none;  // representatives are chosen among the ops that could be scored
  bool strict = false;           // deltas in f32 instead of bf16
  int64_t memory_bytes = 0;
  scores::Metric metric;
  uint64_t seed = 0;
  int64_t sketch = 0;  // exact, isolated: numbers per position for interactions (scores/sketches.h)
  int64_t verify = 0;  // so many scores are measured once more, exactly and in f32

  // Leaves of a cumulative run are nearly float again where few ops are quantized: a small difference of two
  // large ones, which bf16 cannot hold.
  bool f32_deltas() const { return strict || mode == scores::Mode::requantize_cumulative; }
};

// Where a variant's metrics go.
struct Target {
  enum class Kind { score, group, baseline } kind = Kind::score;
  size_t index = 0;
};

struct Outlook {
  // Format by format, ops in model order; status ok where computed, spread where a representative is.
  std::vector<scores::ScoreRecord> records;
  std::vector<scores::GroupScore> groups;    // format by format; status ok where computed
  std::vector<scores::Baseline> baselines;   // all:f for every format
  std::vector<pass::Variant> variants;       // carried ones, then leaves in the order of their forks
  std::vector<std::vector<Target>> targets;  // per variant
};

// The variants that give the scores at these indices, ascending; of leaves alone.
std::vector<pass::VariantId> select_leaves(const Outlook& outlook, std::span<const size_t> records);

Outlook make_outlook(const models::Model& model, const std::vector<models::Sample>& data,
                     const std::vector<models::Sample>& calibration, const ScoreOptions& options);

// Error where the format, one of caches, cannot be that of this one.
void check_heads(const quant::Format& format, const graph::LinearOp& cache);

// Per op, whether rows of the samples reach it.
std::vector<bool> reached_ops(const models::Model& model, const std::vector<models::Sample>& samples);

}  // namespace qsweep::sweep
