// Scores without a sweep of their own: what one forward and K backward walks tell of every op in every
// format.
#pragma once

#include <algorithm>
#include <optional>

#include "pass/probe_pass.h"
#include "schedule/phase_log.h"
#include "sweep/setting.h"

namespace qsweep::sweep {

struct EstimateOptions {
  scores::Method method = scores::Method::adjoint;
  std::vector<scores::Metric> metrics;  // adjoint: those to estimate, the ranking one first
  std::vector<const quant::Format*> formats;
  int64_t probes = 4;
  bool hutchinson = false;  // hawq: the trace by random probes, not by the data's own next tokens
  uint64_t seed = 0;
};

// Beyond these the second-order estimates are known to be low, and carry the flag.
inline constexpr const char* kNonlinearFlag = "nonlinear";
inline constexpr double kNonlinearKl = 1e-3;   // nats per token
inline constexpr double kNonlinearSse = 3e-3;  // of the logits, relative

class Estimator {
 public:
  // Records with status ok are estimated; of no format and op there are two.
  Estimator(const Setting& setting, EstimateOptions options, const std::vector<scores::ScoreRecord>& records);

  void keep(const schedule::Keeping& keeping);  // as VariantRun's
  bool walks_back() const { return !sets_.empty(); }
  // reference_is_left: the sweep's pass leaves the reference's values before run(). base_bytes: as
  // VariantRun's.
  void prepare(bool reference_is_left = false, std::optional<int64_t> base_bytes = {});
  // What is held from run() on beside the records: the passes' products, and what is made of those of a
  // format.
  int64_t results_bytes() const;
  const schedule::MemoryPlan& plan() const { return plan_; }
  schedule::Cost earlier() const { return log_.earlier(); }  // of run(), by processes before this one

  // Fills the records' metrics, local statistics, estimates and flags. reference: what is left of it, which
  // is taken; if that is nothing, as with several devices, it is computed here.
  void run(const pass::Ranges& ranges, pass::ReferenceValues& reference,
           std::vector<scores::ScoreRecord>& records,
           const std::function<void(const std::string& stage, double flops)>& progress);

 private:
  struct WeightError {
    const schedule::Chunk* pass = nullptr;  // that told it
    double sse = 0;
  };
  pass::ProbePassInput pass_input(const schedule::Chunk& chunk, const ops::Context& ops,
                                  const pass::Ranges& ranges, pass::ReferenceValues* reference) const;
  pass::ProbeSinks sinks(const schedule::Chunk& chunk, std::vector<scores::ScoreRecord>& records);
  int64_t told_bytes(const schedule::Chunk& chunk) const;
  int64_t wanted() const { return std::count(wanted_.begin(), wanted_.end(), true); }
  // Of the op in the format; kNone where they have no record.
  static constexpr size_t kNone = SIZE_MAX;
  size_t record_index(size_t op, size_t format) const { return places_[format * ops() + op]; }
  bool is_wanted(size_t op, size_t format) const {
    const size_t record = record_index(op, format);
    return record != kNone && wanted_[record];
  }
  size_t ops() const { return setting_.model.ops.size(); }
  size_t samples() const { return setting_.data.size(); }
  std::span<const pass::ProbeProducts> products_of(size_t record, size_t set) const;

  void fill_adjoint(std::vector<scores::ScoreRecord>& records, size_t format, size_t set) const;
  void fill_fisher(scores::ScoreRecord& record, size_t index) const;
  void fill_hawq(scores::ScoreRecord& record, size_t index) const;
  void flag_nonlinear(scores::ScoreRecord& record, scores::Metric metric) const;

  Setting setting_;
  EstimateOptions options_;
  std::vector<pass::ProbeSet> sets_;
  std::vector<bool> wanted_;    // per record
  std::vector<size_t> places_;  // of records, by format and op
  schedule::PhaseLog log_;
  schedule::MemoryPlan plan_;
  std::vector<size_t> first_probe_;                         // per set, among all probes; one more at the end
  std::vector<std::vector<pass::ProbeProducts>> products_;  // per record: [all probes, samples]
  std::vector<std::vector<double>> traces_;                 // per op: [samples], mean over the probes
  std::vector<WeightError> weight_errors_;                  // per record
  std::vector<std::array<double, 2>> logits_norms_;         // per sample: all, answer
};

}  // namespace qsweep::sweep
