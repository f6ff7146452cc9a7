#include "sweep/setting.h"

#include <algorithm>
#include <chrono>

#include "base/trace.h"

namespace qsweep::sweep {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

pass::PassSetting Setting::of_pass(const schedule::Chunk& chunk, const ops::Context& ops,
                                   const pass::Ranges& ranges) const {
  return {.model = model,
          .ops = ops,
          .dtype = delta_dtype(),
          .samples = schedule::samples_of(data, chunk.samples),
          .ranges = ranges};
}

void Progress::add(const std::string& stage, double flops) {
  what = stage;
  done_flops += flops;
  if (stage.empty()) earlier_flops += flops;
}

void RunReport::timed(const std::string& phase, const std::function<void()>& body) {
  const trace::Span span(trace::kPhase, phase);
  const double start = now_s();
  body();
  phases_s[phase] += now_s() - start;
}

void RunReport::add_earlier(const std::string& phase, double seconds) {
  if (seconds == 0) return;
  phases_s[phase] += seconds;
  earlier_s[phase] += seconds;
}

int64_t RunReport::planned_bytes() const {
  return std::max(plan.peak_bytes(), calibration ? calibration->peak_bytes() : 0);
}

void RunReport::add(const RunReport& later) {
  for (const auto& [phase, seconds] : later.phases_s) phases_s[phase] += seconds;
  for (const auto& [phase, seconds] : later.earlier_s) earlier_s[phase] += seconds;
  if (later.planned_bytes() > planned_bytes()) {
    plan = later.plan;
    calibration = later.calibration;
  }
  reference.add(later.reference);
  deltas.add(later.deltas);
  estimates.add(later.estimates);
}

double RunReport::all_earlier_s() const {
  double sum = 0;
  for (const auto& [phase, seconds] : earlier_s) sum += seconds;
  return sum;
}

}  // namespace qsweep::sweep
