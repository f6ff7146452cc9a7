// The records of a run: what was scored, how, and what came out.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "scores/local_stats.h"
#include "scores/metric.h"

namespace qsweep::scores {

enum class Status {
  ok,
  unexercised,   // no row of the data reached the op; of an expert, known from the run alone
  uncalibrated,  // static format and no calibration row
  non_finite,    // a sum overflowed or became NaN
  skipped,       // cap, time budget, or not selected
  spread,        // metrics of a representative op
};
enum class Mode { isolated, leave_one_out, requantize, requantize_cumulative };
// `transfer`: carried over from another model's run. `automatic`: each score by one of the others. It names a
// ranking over methods, never a score's own method.
enum class Method { exact, adjoint, fisher, hawq, local, transfer, automatic };

std::string_view name(Status status);
std::string_view name(Mode mode);      // "leave-one-out"
std::string_view name(Method method);  // "auto" for automatic
// Error with the valid names for any other text.
Status parse_status(std::string_view text);
Mode parse_mode(std::string_view text);
Method parse_method(std::string_view text);

// Whether scores of the method have sums of every sample.
inline bool has_samples(Method method) { return method != Method::local && method != Method::transfer; }

// Only these statuses have metrics; every other score has no number at all.
inline bool carries_metrics(Status status) { return status == Status::ok || status == Status::spread; }

struct Interval {
  double low = 0, high = 0;
};
// 95 % confidence interval of the mean per position (per target for nll_delta), by metric; none where
// unknown.
using MetricIntervals = std::array<std::optional<Interval>, kAllWhich.size()>;
struct ScopedIntervals {
  MetricIntervals all, answer;

  const std::optional<Interval>& of(Metric m) const {
    return (m.scope == Scope::all ? all : answer)[static_cast<size_t>(m.which)];
  }
  std::optional<Interval>& of(Metric m) {
    return (m.scope == Scope::all ? all : answer)[static_cast<size_t>(m.which)];
  }
};

// Of ScoreRecord::estimates, and of baselines: of the rows that routers sent to experts, the share that went
// to others than in the reference. From so many on, estimates of scores in this format are flagged.
inline constexpr char kFlippedRows[] = "flipped_rows";
inline constexpr double kManyFlippedRows = 0.01;
inline constexpr const char* kFlipsFlag = "flips";

// Of an op that is the cache of a layer: of the keys, and as many of the values.
struct CacheShape {
  int64_t heads = 0, head_dim = 0;
};

struct OpRecord {
  std::string name, tower;
  std::optional<int64_t> block;
  std::string role;
  int64_t in_features = 0, out_features = 0, parameters = 0;
  std::optional<std::string> fusion_group;
  std::optional<CacheShape> cache = {};  // none: a linear op
};

// What was measured of one variant against the reference.
struct Measurement {
  // One per sample of the data, in data order, also where the sample has no row of what is quantized (errors
  // 0, counts those of the sample). Of methods that measure nothing of samples (has_samples), one for all.
  // Kept in memory only.
  std::vector<ScopedSums> per_sample;
  Measured measured = Measured::all();

  // Set by finalize(). In `total`, the sums of metrics that were not measured are NaN (top1_flips: 0).
  std::optional<ScopedSums> total;
  ScopedIntervals intervals;

  bool has(Metric metric) const { return total && measured.has(metric); }
  // NaN where the metric was not measured, as for all of the following.
  double sum(Metric metric) const;
  double per_position(Metric metric) const;
  double logits_mse(Scope scope) const;
  double perplexity_ratio(Scope scope) const;
};

// `total` is there exactly where the status carries metrics; `per_sample` is not used for `spread`.
struct ScoreRecord : Measurement {
  int op = 0;  // index in Run::ops
  std::string format;
  Mode mode = Mode::isolated;
  Method method = Method::exact;
  Status status = Status::ok;
  std::vector<std::string> flags;
  std::optional<LocalStats> local;
  // What was found beside the metrics, by name: token_form, relative_standard_error, ... The latter, where it
  // is there, is that of the ranking metric and widens its interval.
  std::vector<std::pair<std::string, double>> estimates;
  double effective_bits = 0;
  std::optional<std::string> spread_from;  // op name, for `spread` only
  std::optional<int64_t> rank;             // set by finalize()

  std::optional<double> estimate(std::string_view name) const;
  bool has_flag(std::string_view flag) const;
};

// Several ops quantized together, everything else float: measured at the output, in mode isolated.
struct GroupScore : Measurement {
  std::string name;      // with the format, there once in a run
  std::vector<int> ops;  // indexes in Run::ops, ascending; those that data reaches
  std::string format;
  Status status = Status::ok;  // as of a score, but never spread
  double effective_bits = 0;   // mean over the group's weights
};

// A variant that is no single op's score, such as all:w8a8. No total where a sum is not finite.
struct Baseline : Measurement {
  std::string name;
  std::string format;                  // of all:FORMAT, else empty
  std::vector<std::string> float_ops;  // ops of all:FORMAT that stayed float: uncalibrated
  std::optional<double> flipped_rows;  // of models with mixtures of experts
};
// FORMAT of "all:FORMAT", empty for another name.
std::string format_of_baseline(std::string_view name);
// The baseline all:FORMAT; null where there is none.
const Baseline* find_baseline(const std::vector<Baseline>& baselines, std::string_view format);

// How well the ranking survives other data: Spearman's correlation between random halves of the samples.
struct Reliability {
  std::string format;
  Mode mode = Mode::isolated;
  Method method = Method::exact;
  double spearman = 0;  // of the ranking metric; mean over the splits
  int64_t splits = 0;
  // The same by every scope of the ranking metric, in the order of kAllScopes; none where a scope has no
  // positions.
  std::array<std::optional<double>, kAllScopes.size()> by_scope = {};
};

// A score that was measured once more, exactly and with f32 deltas.
struct VerifiedScore {
  int op = 0;  // index in Run::ops
  std::string format;
  Mode mode = Mode::isolated;
  Method method = Method::exact;  // of the score
  bool top = false;               // chosen for its rank, not by chance
  Metric metric = {};             // that the run ranks by, of which the sums are
  // Not finite where that could not be measured again.
  double score = 0, strict = 0;

  double deviation() const;  // relative: score / strict - 1; NaN where that is not finite
};

struct ModelInfo {
  std::string path_name, family;
  int64_t parameters = 0;
  std::string weights_sha256_of_headers;
  std::optional<bool> tied_embeddings =
      {};  // whether lm_head is the token embedding; not known of older files
  // Stored bytes of the tensors that are no op's weight: what no format changes. Not known of older files.
  std::optional<int64_t> other_bytes = {};
};

struct DataInfo {
  std::string file_name;
  int64_t samples = 0, tokens = 0, answer_tokens = 0, images = 0;
  std::optional<int64_t> image_tokens = {};  // placeholders that images stand at; not known of older files
  std::string sha256;

  // Neither answer nor image.
  std::optional<int64_t> prompt_tokens() const;
};

// What the score is ranked by: the sum of the metric, or of method `local` the relative error at the op. NaN
// where it has none.
double ranking_value(const ScoreRecord& score, Metric metric);

}  // namespace qsweep::scores
