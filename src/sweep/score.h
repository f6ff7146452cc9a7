// A sensitivity run: what every selected op's quantization to every format does to the model's output.
#pragma once

#include "sweep/variant_run.h"
#include "sweep/outlook.h"

namespace qsweep::sweep {

class Sweep {
 public:
  // `data` and `calibration` must outlive this object.
  Sweep(const models::Model& model, const ops::Context& ops, const std::vector<models::Sample>& data,
        const std::vector<models::Sample>& calibration, ScoreOptions options);

  // The outlook and the memory plan; nothing is computed yet.
  void prepare();
  const Outlook& outlook() const { return outlook_; }
  const MemoryPlan& plan() const { return report().plan; }

  // Calibrates, if a format needs it, and computes all variants. The run has its ops and finalized scores;
  // data, settings and provenance are the caller's.
  scores::Run run(const ProgressObserver& progress);
  const RunReport& report() const { return variant_run_.report(); }

 private:
  Setting setting_;
  ScoreOptions options_;
  Outlook outlook_;
  VariantRun variant_run_;
};

}  // namespace qsweep::sweep
