// Random test data: the same values on every machine.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/rng.h"

namespace qsweep::testing {

// Standard normal (Box and Muller 1958).
inline double normal(Rng& rng) {
  const double u = 1 - rng.uniform(), angle = 2 * 3.14159265358979323846 * rng.uniform();
  return std::sqrt(-2 * std::log(u)) * std::cos(angle);
}

inline std::vector<float> normals(Rng& rng, int64_t n, double scale = 1) {
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = static_cast<float>(scale * normal(rng));
  return values;
}

}  // namespace qsweep::testing
