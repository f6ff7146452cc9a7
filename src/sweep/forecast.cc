#include "sweep/forecast.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "sweep/refinement.h"
#include "sweep/score.h"

namespace qsweep::sweep {
namespace {

// Row kernels, quantizers and sums over an element of an op's input or output, on one thread. Chosen on a
// model of width 128 to 352, where most time is theirs: 9.3 s forecast for 8.3 s (one format) and 126 s for
// 101 s (fourteen).
constexpr double kSecondsPerElement = 8e-9;

// Which exact scores `auto` measures without a time budget, of so many in a format.
int64_t refined_of(int64_t scores) {
  const auto share = static_cast<int64_t>(kRefinedShare * static_cast<double>(scores));
  return std::min(scores, std::max(share, static_cast<int64_t>(kLeastRefined)));
}

}  // namespace

double seconds_per_flop(const Setting& setting, std::span<const pass::Variant> variants,
                        const schedule::MemoryPlan& plan, std::span<const MeasuredProduct> rates) {
  const schedule::Amount amount = amount_of(setting, variants, plan);
  if (!(amount.flops > 0) || rates.empty()) return 0;
  const double threads = static_cast<double>(setting.devices.first().gemm.device().threads.count) *
                         static_cast<double>(setting.devices.size());
  const double seconds = amount.flops / overall_rate(rates) + amount.elements * kSecondsPerElement / threads;
  return seconds / amount.flops;
}

Forecast Sweep::forecast(std::span<const MeasuredProduct> rates) const {
  const double per_flop = seconds_per_flop(setting_, outlook_.variants, plan(), rates);
  std::vector<int> samples(setting_.data.size());
  std::iota(samples.begin(), samples.end(), 0);
  const auto arithmetic_of = [&](const std::vector<pass::VariantId>& variants) {
    schedule::Tally tally(setting_.model, setting_.data, outlook_.variants);
    tally.add(samples, variants);
    return tally.amount().flops;
  };
  const double reference = arithmetic_of({});
  Forecast forecast{.sweep_s = (plan().flops() + reference) * per_flop};
  if (estimator_ && estimator_->plan().flops() > 0)
    forecast.estimate_s = (estimator_->plan().flops() + reference) * per_flop;
  std::map<std::string, int64_t> by_format;
  for (const scores::ScoreRecord& record : outlook_.records)
    if (record.status == scores::Status::ok) ++by_format[record.format];
  int64_t all = 0, refined = 0;
  for (const auto& [format, n] : by_format) all += n, refined += refined_of(n);
  if (all == 0) return forecast;
  if (options_.verify > 0 && verify_plan_)
    forecast.verify_s = verify_plan_->flops() * per_flop *
                        static_cast<double>(std::min(options_.verify, all)) / static_cast<double>(all);
  if (options_.method != scores::Method::automatic) return forecast;
  const double all_s =
      (arithmetic_of(all_of(outlook_.variants)) - arithmetic_of(variant_run_.live())) * per_flop;
  if (options_.time_budget_s) {
    const double left_s = *options_.time_budget_s - forecast.sweep_s - forecast.estimate_s;
    const double share = all_s > 0 ? std::clamp(left_s / all_s, 0.0, 1.0) : 1.0;
    refined = static_cast<int64_t>(std::floor(share * static_cast<double>(all)));
  }
  forecast.exact_scores = refined;
  forecast.refine_s = all_s * static_cast<double>(refined) / static_cast<double>(all);
  return forecast;
}

}  // namespace qsweep::sweep
