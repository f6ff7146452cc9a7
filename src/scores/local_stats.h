// What is measured at an op itself, while it runs.
#pragma once

#include <cstdint>

namespace qsweep::scores {

// Sums at the op itself, over the rows of its input. Mergeable.
struct LocalStats {
  double error_sse = 0;   // squared difference of the op's output, quantized against float, same input
  double output_sse = 0;  // squared float output
  double input_min = 0, input_max = 0;  // 0 without rows
  double input_sum_squares = 0;
  int64_t input_elements = 0;
  int64_t rows = 0;

  void add(const LocalStats& other);
  bool finite() const;
  double relative_error() const;  // sqrt(error / output); NaN for a zero output
  double sqnr_db() const;         // 10 log10(output / error); infinite without error
  double input_absmax() const;
  double input_rms() const;
  double outlier_ratio() const;  // absmax / rms; NaN for an all-zero input
};

}  // namespace qsweep::scores
