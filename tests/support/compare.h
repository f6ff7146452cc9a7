// Comparisons that fail on NaN.
#pragma once

#include <cmath>
#include <span>

namespace qsweep::testing {

// |a - b| / |b| over all elements (Euclidean norms); |a - b| where b is zero.
template <class A, class B>
double relative_error(std::span<const A> a, std::span<const B> b) {
  if (a.size() != b.size()) return INFINITY;
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += d * d;
    norm += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(norm == 0 ? difference : difference / norm);
}

}  // namespace qsweep::testing
