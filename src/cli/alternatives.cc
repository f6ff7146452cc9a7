#include "cli/alternatives.h"

namespace qsweep::cli {
namespace {

constexpr double kLong_s = 600;

}  // namespace

void say_alternatives(const Output& output, const Engine& engine, sweep::ScoreOptions options,
                      const sweep::Forecast& forecast, std::span<const sweep::MeasuredProduct> rates) {
  const bool estimable = options.method == scores::Method::exact && options.mode == scores::Mode::isolated;
  if (!estimable || forecast.total_s() <= kLong_s) return;
  options.method = scores::Method::automatic;
  options.groups.clear();
  try {
    sweep::Sweep instead(engine.model, *engine.devices, engine.data, engine.calibration_data(), options);
    instead.prepare();
    const sweep::Forecast by_auto = instead.forecast(rates);
    output.say(
        "  instead, --method auto takes {} ({} scores exact, the others estimated), --method adjoint {}\n",
        about(by_auto.total_s()), by_auto.exact_scores.value_or(0),
        about(by_auto.total_s() - by_auto.refine_s));
  } catch (const Error&) {
    return;  // estimates need more memory than there is
  }
}

}  // namespace qsweep::cli
