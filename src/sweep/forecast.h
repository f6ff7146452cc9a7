// About how long a run will take, from its plans and the machine's rate on its main products.
#pragma once

#include <optional>

#include "sweep/rate.h"

namespace qsweep::sweep {

struct Forecast {
  // Seconds: what the sweep's plan is of, which is every score or the baselines; estimates; the exact scores
  // of `auto`; the verification.
  double sweep_s = 0, estimate_s = 0, refine_s = 0, verify_s = 0;
  std::optional<int64_t> exact_scores;  // by `auto`: how many are going to be measured

  double total_s() const { return sweep_s + estimate_s + refine_s + verify_s; }
};

// Of a floating-point operation in passes like these, products and everything else; 0 where there is nothing
// to do.
double seconds_per_flop(const Setting& setting, std::span<const pass::Variant> variants,
                        const schedule::MemoryPlan& plan, std::span<const MeasuredProduct> rates);

}  // namespace qsweep::sweep
