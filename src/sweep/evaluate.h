// Recipes, each measured as a whole.
#pragma once

#include "scores/metric.h"
#include "sweep/forecast.h"
#include "sweep/variant_run.h"

namespace qsweep::scores {
struct EvalRun;
}

namespace qsweep::sweep {

struct RecipeFormats {
  std::string name;
  std::string rules_file;
  std::vector<const quant::Format*> formats;  // per op, null is float
};

class Evaluation {
 public:
  Evaluation(const Setting& setting, std::vector<RecipeFormats> recipes);

  // As Sweep's; phase: what tells this evaluation from others in the journal.
  void keep(const schedule::Keeping& keeping, const std::string& phase = "eval") {
    variant_run_.keep(keeping, phase);
  }
  void prepare();
  const schedule::MemoryPlan& plan() const { return variant_run_.report().plan; }
  std::vector<schedule::ProductShape> main_products() const {
    return sweep::main_products(setting_, variants_, plan());
  }
  // After prepare(), with the rates of main_products().
  double forecast_s(std::span<const MeasuredProduct> rates) const {
    return amount_of(setting_, variants_, plan()).flops *
           seconds_per_flop(setting_, variants_, plan(), rates);
  }
  // All recipes in one sweep. Metrics are finalized; data, settings, provenance and predictions are the
  // caller's.
  scores::EvalRun run(scores::Metric ranking, const ProgressObserver& progress);
  const RunReport& report() const { return variant_run_.report(); }

 private:
  Setting setting_;
  std::vector<RecipeFormats> recipes_;
  std::vector<std::vector<std::string>> uncalibrated_;  // per recipe: ops that have to stay float
  std::vector<pass::Variant> variants_;
  VariantRun variant_run_;
};

}  // namespace qsweep::sweep
