#include "base/codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace qsweep {
namespace {

TEST(Codec, EveryF16SurvivesARoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const f16 x{static_cast<uint16_t>(bits)};
    const float value = to_float(x);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(to_float(to_f16(value))));
    } else {
      ASSERT_EQ(to_f16(value).bits, x.bits) << value;
    }
  }
}

TEST(Codec, HalfwayRoundsToEven) {
  EXPECT_EQ(to_float(to_bf16(1.0f + 0x1p-8f)), 1.0f);
  EXPECT_EQ(to_float(to_bf16(1.0f + 0x3p-8f)), 1.0f + 0x1p-6f);
  EXPECT_EQ(to_float(to_f16(1.0f + 0x1p-11f)), 1.0f);
  EXPECT_EQ(to_float(to_f16(1.0f + 0x3p-11f)), 1.0f + 0x1p-9f);
  EXPECT_EQ(to_float(to_f16(0x1p-25f)), 0.0f);
  EXPECT_EQ(to_float(to_f16(0x3p-25f)), 0x1p-23f);
}

TEST(Codec, SmallFloatTies) {
  const float cases[][2] = {{.25f, 0}, {.75f, 1}, {1.25f, 1}, {1.75f, 2},
                            {2.5f, 2}, {3.5f, 4}, {5, 4},     {7, 6}};
  for (const auto& [in, out] : cases) {
    EXPECT_EQ(round_to(kE2M1, in), out);
    EXPECT_EQ(round_to(kE2M1, -in), -out);
  }
  EXPECT_EQ(round_to(kE4M3, 464.0f), 448.0f);
  EXPECT_EQ(round_to(kE4M3, 0x1p-10f), 0.0f);
  EXPECT_EQ(round_to(kE3M2, 0x1p-4f), 0x1p-4f);
}

// Nearest value among all values of a 16-bit format, found by search; ties to the even code.
template <class Format>
uint16_t nearest_by_search(float x, uint16_t largest_finite) {
  uint16_t best = 0;
  double best_distance = std::fabs(x);
  for (uint16_t bits = 1; bits <= largest_finite; ++bits) {
    const double distance = std::fabs(static_cast<double>(to_float(Format{bits})) - x);
    if (distance < best_distance || (distance == best_distance && bits % 2 == 0)) {
      best = bits;
      best_distance = distance;
    }
  }
  return best;
}

TEST(Codec, RoundingFindsTheNearestValue) {
  for (const float x : {1e-8f, 5.96e-8f, 6e-5f, 6.1e-5f, .1f, 1.0f / 3, 2047.5f, 2049.0f, 65503.9f}) {
    EXPECT_EQ(to_f16(x).bits, nearest_by_search<f16>(x, 0x7bff)) << x;
    EXPECT_EQ(to_bf16(x).bits, nearest_by_search<bf16>(x, 0x7f7f)) << x;
    EXPECT_EQ(to_f16(-x).bits, to_f16(x).bits | 0x8000) << x;
  }
}

TEST(Codec, LimitsOverflowAndNan) {
  const float infinity = INFINITY;
  EXPECT_EQ(to_f16(65519.0f).bits, 0x7bff);
  EXPECT_EQ(to_float(to_f16(65520.0f)), infinity);
  EXPECT_EQ(to_float(to_f16(-infinity)), -infinity);
  EXPECT_EQ(to_float(to_bf16(infinity)), infinity);
  EXPECT_EQ(to_float(to_bf16(3.4e38f)), infinity);
  EXPECT_TRUE(std::isnan(to_float(to_bf16(NAN))));
  // A NaN whose payload lies in the bits that bf16 drops must not become infinity.
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_EQ(to_f16(-0.0f).bits, 0x8000);
  EXPECT_EQ(to_bf16(-0.0f).bits, 0x8000);
}

TEST(Codec, EveryBf16SurvivesARoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = to_float(bf16{static_cast<uint16_t>(bits)});
    if (!std::isnan(value)) {
      ASSERT_EQ(to_bf16(value).bits, bits);
    }
  }
}

// All non-negative values of a small format by their codes: subnormals first, then doubling steps.
std::vector<float> values_of(SmallFloat format) {
  std::vector<float> values;
  const int per_exponent = 1 << format.mantissa_bits;
  for (int code = 0;; ++code) {
    const int exponent = std::max(code / per_exponent, 1) - 1 + format.min_exponent;
    const int fraction = code < per_exponent ? code : per_exponent + code % per_exponent;
    const float value = std::ldexp(static_cast<float>(fraction), exponent - format.mantissa_bits);
    if (value > format.max) return values;
    values.push_back(value);
  }
}

TEST(Codec, SmallFloatsKeepTheirValuesAndRoundBetweenThem) {
  for (const SmallFloat format : {kE4M3, kE3M2, kE2M1}) {
    const std::vector<float> values = values_of(format);
    EXPECT_EQ(values.back(), format.max);
    for (size_t code = 0; code + 1 < values.size(); ++code) {
      const float low = values[code], high = values[code + 1], middle = (low + high) / 2;
      EXPECT_EQ(round_to(format, low), low);
      EXPECT_EQ(round_to(format, middle), code % 2 == 0 ? low : high);
      EXPECT_EQ(round_to(format, std::nextafter(middle, low)), low);
      EXPECT_EQ(round_to(format, std::nextafter(middle, high)), high);
      EXPECT_EQ(round_to(format, -high), -high);
    }
    EXPECT_EQ(round_to(format, 1e30f), format.max);
    EXPECT_EQ(round_to(format, -1e30f), -format.max);
    EXPECT_EQ(round_to(format, 1e-40f), 0);
  }
  EXPECT_EQ(values_of(kE4M3).size(), 127u);
  EXPECT_EQ(values_of(kE3M2).size(), 32u);
  EXPECT_EQ(values_of(kE2M1).size(), 8u);
}

}  // namespace
}  // namespace qsweep
