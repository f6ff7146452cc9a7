// A sensitivity run: what every selected op's quantization to every format does to the model's output.
#pragma once

#include <algorithm>
#include <span>

#include "scores/sketches.h"
#include "sweep/estimate.h"
#include "sweep/forecast.h"
#include "sweep/outlook.h"
#include "sweep/rate.h"
#include "sweep/variant_run.h"
#include "sweep/verify.h"

namespace qsweep::sweep {

class Sweep {
 public:
  // `data` and `calibration` must outlive this object.
  Sweep(const models::Model& model, const schedule::Devices& devices, const std::vector<models::Sample>& data,
        const std::vector<models::Sample>& calibration, ScoreOptions options);

  // Keeps what is finished in a journal, and goes on from what it holds already; then it comes before
  // prepare(), so that the plans are those of the run's begin.
  void keep(const schedule::Keeping& keeping);
  // The outlook and the memory plans; nothing is computed yet.
  void prepare();
  const Outlook& outlook() const { return outlook_; }
  // Of what is measured exactly: every variant, or the baselines where the scores are estimated.
  const schedule::MemoryPlan& plan() const { return report().plan; }
  // Of the walk backward; null where nothing is estimated.
  const schedule::MemoryPlan* estimate_plan() const { return estimator_ ? &estimator_->plan() : nullptr; }

  // Of the passes of plan(), once they are there.
  std::vector<schedule::ProductShape> main_products() const {
    return sweep::main_products(setting_, outlook_.variants, plan());
  }

  // Of all scores that might be verified, at once; null where none is.
  const schedule::MemoryPlan* verify_plan() const { return verify_plan_ ? &*verify_plan_ : nullptr; }

  // After prepare(), with the rates of main_products().
  Forecast forecast(std::span<const MeasuredProduct> rates) const;

  int64_t planned_bytes() const {
    return std::max(
        {report().planned_bytes(), estimator_ ? estimator_->plan().peak_bytes() : 0, verify_bytes_});
  }

  // Calibrates, if a format needs it, and computes all variants. The run has its ops and finalized scores;
  // data, settings and provenance are the caller's.
  scores::Run run(const ProgressObserver& progress);
  // After run(); none where none were asked for.
  const std::optional<scores::Sketches>& sketches() const { return sketches_; }
  const RunReport& report() const { return variant_run_.report(); }

 private:
  int64_t results_bytes() const;
  int64_t sketch_bytes() const;  // of these
  void measure(VariantRun& variants, scores::Run& run, const ProgressObserver& progress);
  void finish_sketches(const scores::Run& run);
  VariantRun exactly(const Setting& setting, std::span<const size_t> records) const;
  void estimate(scores::Run& run, const ProgressObserver& progress);
  // auto: exact scores in place of the estimates that matter most.
  void refine(scores::Run& run, const ProgressObserver& progress);
  size_t fitting(std::span<const size_t> records, double rate) const;
  double seconds_left() const;
  void plan_verification();
  void verify(scores::Run& run, const ProgressObserver& progress);

  Setting setting_;
  ScoreOptions options_;
  Outlook outlook_;
  VariantRun variant_run_;
  std::optional<Estimator> estimator_;
  std::optional<scores::Sketches> sketches_;
  schedule::Keeping keeping_;
  double start_s_ = 0;
  std::optional<schedule::MemoryPlan> verify_plan_;
  int64_t verify_bytes_ = 0;  // of the plan for the scores that were chosen in the end
};

}  // namespace qsweep::sweep
