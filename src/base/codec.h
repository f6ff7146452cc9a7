// Scalar codecs of the number formats that checkpoints and quantizers use.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace qsweep {

struct bf16 {
  uint16_t bits = 0;
};
struct f16 {
  uint16_t bits = 0;
};

constexpr float to_float(float x) { return x; }
constexpr float to_float(bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }
constexpr float to_float(f16 x) {
  const uint32_t sign = (x.bits & 0x8000u) << 16, exponent = (x.bits >> 10) & 31, fraction = x.bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float subnormal = static_cast<float>(fraction) * 0x1p-24f;
  return sign != 0 ? -subnormal : subnormal;
}

// Round to nearest, ties to even; NaN stays NaN.
constexpr bf16 to_bf16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((u >> 16) | 0x40)};
  return {static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1)) >> 16)};
}
f16 to_f16(float x);

// A small float format without infinities: `mantissa_bits` stored bits, smallest normal exponent
// `min_exponent`, largest finite value `max`. Subnormals are kept, larger values saturate.
struct SmallFloat {
  int mantissa_bits;
  int min_exponent;
  float max;
};

inline constexpr SmallFloat kE4M3{3, -6, 448.0f};
inline constexpr SmallFloat kE3M2{2, -2, 28.0f};
inline constexpr SmallFloat kE2M1{1, 0, 6.0f};

// Nearest value of the format, ties to the even code. x must be finite.
float round_to(SmallFloat format, float x);

}  // namespace qsweep
