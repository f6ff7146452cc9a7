#include "scores/local_stats.h"

#include <algorithm>
#include <cmath>

#include "scores/metric.h"

namespace qsweep::scores {
void LocalStats::add(const LocalStats& other) {
  if (other.rows == 0) return;
  input_min = rows == 0 ? other.input_min : std::min(input_min, other.input_min);
  input_max = rows == 0 ? other.input_max : std::max(input_max, other.input_max);
  error_sse += other.error_sse;
  output_sse += other.output_sse;
  input_sum_squares += other.input_sum_squares;
  input_elements += other.input_elements;
  rows += other.rows;
}

bool LocalStats::finite() const {
  for (double value : {error_sse, output_sse, input_min, input_max, input_sum_squares})
    if (!std::isfinite(value)) return false;
  return true;
}

double LocalStats::relative_error() const {
  return output_sse > 0 ? std::sqrt(error_sse / output_sse) : kUndefined;
}

double LocalStats::sqnr_db() const {
  return output_sse > 0 ? 10 * std::log10(output_sse / error_sse) : kUndefined;
}

double LocalStats::input_absmax() const { return std::max(std::fabs(input_min), std::fabs(input_max)); }

double LocalStats::input_rms() const {
  return input_elements > 0 ? std::sqrt(input_sum_squares / static_cast<double>(input_elements)) : kUndefined;
}

double LocalStats::outlier_ratio() const {
  const double rms = input_rms();
  return rms > 0 ? input_absmax() / rms : kUndefined;
}

}  // namespace qsweep::scores
