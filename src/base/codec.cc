#include "base/codec.h"

#include <algorithm>

namespace qsweep {

f16 to_f16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const uint16_t sign = static_cast<uint16_t>((u >> 16) & 0x8000u);
  if (std::isnan(x)) return {static_cast<uint16_t>(sign | 0x7e00u)};
  const double magnitude = std::fabs(static_cast<double>(x));
  if (magnitude >= 65520.0) return {static_cast<uint16_t>(sign | 0x7c00u)};
  if (magnitude == 0) return {sign};
  const int exponent = std::max(std::ilogb(magnitude), -14);
  const auto steps = static_cast<uint32_t>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  // `steps` counts units of 2^(exponent - 10); reaching 2048 carries into the next exponent by itself.
  return {static_cast<uint16_t>(sign + ((static_cast<uint32_t>(exponent + 14) << 10) + steps))};
}

float round_to(SmallFloat format, float x) {
  const double d = x;
  int exponent = 0;
  std::frexp(d, &exponent);
  const double step = std::ldexp(1.0, std::max(exponent - 1, format.min_exponent) - format.mantissa_bits);
  const double rounded = std::nearbyint(d / step) * step;
  return static_cast<float>(
      std::clamp(rounded, -static_cast<double>(format.max), static_cast<double>(format.max)));
}

}  // namespace qsweep
