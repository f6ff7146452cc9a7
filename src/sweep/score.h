// A sensitivity run: what every selected op's quantization to every format does to the model's output,
// exactly.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sweep/calibrate.h"
#include "sweep/outlook.h"
#include "sweep/plan.h"

namespace qsweep::sweep {

struct Progress {
  std::string what;       // the stage that was finished
  double done_flops = 0;  // of products, the reference's excepted
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
  void calibrate_ranges();
  PlanInput plan_input(const std::vector<models::Sample>& samples, std::span<const Variant> variants) const;
  template <class Body>
  void timed(const std::string& phase, Body&& body);

  const models::Model& model_;
  const ops::Context& ops_;
  const std::vector<models::Sample>& data_;
  const std::vector<models::Sample>& calibration_;
  ScoreOptions options_;
  Outlook outlook_;
  Ranges ranges_;  // empty ones before calibration
  RunReport report_;
};

}  // namespace qsweep::sweep
