#include "base/codec.h"

#include <gtest/gtest.h>

#include <cmath>

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
  const float cases[][2] = {{.25f, 0}, {.75f, 1}, {1.25f, 1}, {1.75f, 2}, {2.5f, 2}, {3.5f, 4}, {5, 4}, {7, 6}};
  for (const auto& [in, out] : cases) {
    EXPECT_EQ(round_to(kE2M1, in), out);
    EXPECT_EQ(round_to(kE2M1, -in), -out);
  }
  EXPECT_EQ(round_to(kE4M3, 464.0f), 448.0f);
  EXPECT_EQ(round_to(kE4M3, 0x1p-10f), 0.0f);
  EXPECT_EQ(round_to(kE3M2, 0x1p-4f), 0x1p-4f);
}

}  // namespace
}  // namespace qsweep
