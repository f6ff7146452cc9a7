// A sensitivity run: what every selected op's quantization to every format does to the model's output,
// exactly.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sweep/calibrate.h"
#include "sweep/plan.h"

namespace qsweep::sweep {

struct ScoreOptions {
  std::vector<const quant::Format*> formats;
  std::string ops_glob = "*";      // over op names; shell pattern, `*` also crosses dots
  std::optional<int64_t> max_ops;  // the first so many in model order of those that match
  bool strict = false;             // deltas in f32 instead of bf16
  int64_t memory_bytes = 0;
  scores::Metric metric;
  uint64_t seed = 0;
};

// What a run is going to do: the status of every (op, format), and the variants that will be computed.
struct Outlook {
  std::vector<scores::ScoreRecord>
      records;                    // format by format, ops in model order; status ok where it has a variant
  std::vector<Variant> variants;  // in model order
  std::vector<size_t> record_of;  // variant -> its record
};

struct Progress {
  std::string what;       // the stage that was finished
  double done_flops = 0;  // product arithmetic on deltas
  double total_flops = 0;
};

struct RunReport {
  std::map<std::string, double> phases_s;
  MemoryPlan plan;
  kernels::GemmCount reference, deltas;  // of the sweep phase
};

class Sweep {
 public:
  // `data` and `calibration` must outlive this object.
  Sweep(const models::Model& model, const ops::Context& ops, const std::vector<models::Sample>& data,
        const std::vector<models::Sample>& calibration, ScoreOptions options);

  // The outlook and the memory plan; nothing is computed yet.
  void prepare();
  const Outlook& outlook() const { return outlook_; }
  const MemoryPlan& plan() const { return report_.plan; }

  // Calibrates, if a format needs it, and computes all variants. The run has its ops and finalized scores;
  // data, settings and provenance are the caller's.
  scores::Run run(const std::function<void(const Progress&)>& progress);
  const RunReport& report() const { return report_; }

 private:
  Outlook make_outlook() const;
  void calibrate_variants();
  PlanInput plan_input(const std::vector<models::Sample>& samples, std::span<const Variant> variants) const;
  template <class Body>
  void timed(const std::string& phase, Body&& body);

  const models::Model& model_;
  const ops::Context& ops_;
  const std::vector<models::Sample>& data_;
  const std::vector<models::Sample>& calibration_;
  ScoreOptions options_;
  Outlook outlook_;
  RunReport report_;
};

// The op's record for scores.json.
scores::OpRecord op_record(const graph::LinearOp& op);

}  // namespace qsweep::sweep
