#include "tensor/floats.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace qsweep {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Tensor floats(DType dtype, const std::vector<float>& values) {
  Tensor t(dtype, {static_cast<int64_t>(values.size())});
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::bf16) t.as<bf16>()[i] = to_bf16(values[i]);
    if (dtype == DType::f16) t.as<f16>()[i] = to_f16(values[i]);
    if (dtype == DType::f32) t.as<float>()[i] = values[i];
  }
  return t;
}

class EachFloat : public ::testing::TestWithParam<DType> {};

// Blocks are looked at as a whole first: at their ends and inside.
TEST_P(EachFloat, TheFirstNonFiniteElementIsFound) {
  constexpr int64_t kElements = 10'000;
  for (const float bad : {std::nanf(""), -std::nanf(""), kInfinity, -kInfinity}) {
    for (const int64_t place : {0, 1, 4095, 4096, 8191, 9999}) {
      std::vector<float> values(kElements, 1.5f);
      values[static_cast<size_t>(place)] = bad;
      values.back() = bad;
      EXPECT_EQ(first_non_finite(floats(GetParam(), values).view()), place) << bad;
    }
  }
}

TEST_P(EachFloat, TheLargestNumbersAreFinite) {
  const float largest = GetParam() == DType::f16    ? 65504.0f
                        : GetParam() == DType::bf16 ? 0x1.fep127f
                                                    : std::numeric_limits<float>::max();
  const Tensor t = floats(GetParam(), {0.0f, -0.0f, largest, -largest, 1e-8f, 1e-40f});
  EXPECT_EQ(first_non_finite(t.view()), std::nullopt);
  EXPECT_EQ(first_non_finite(floats(GetParam(), {}).view()), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(Floats, EachFloat, ::testing::Values(DType::bf16, DType::f16, DType::f32),
                         [](const auto& tested) { return std::string(name(tested.param)); });

TEST(EqualValues, AcrossTypes) {
  const std::vector<float> values{0, -1.5f, 2, 0.25f};
  for (const DType a : {DType::bf16, DType::f16, DType::f32})
    for (const DType b : {DType::bf16, DType::f16, DType::f32}) {
      EXPECT_TRUE(equal_values(floats(a, values).view(), floats(b, values).view()));
      EXPECT_FALSE(equal_values(floats(a, values).view(), floats(b, {0, -1.5f, 2, 0.5f}).view()));
      EXPECT_FALSE(equal_values(floats(a, values).view(), floats(b, {0, -1.5f, 2}).view()));
    }
  const std::vector<float> fine{1.0009765625f};  // f16 has this bit, bf16 has not
  EXPECT_FALSE(equal_values(floats(DType::bf16, fine).view(), floats(DType::f32, fine).view()));
  EXPECT_TRUE(equal_values(floats(DType::f16, fine).view(), floats(DType::f32, fine).view()));
  const std::vector<float> nan{std::nanf("")};
  EXPECT_FALSE(equal_values(floats(DType::f32, nan).view(), floats(DType::f32, nan).view()));
}

}  // namespace
}  // namespace qsweep
