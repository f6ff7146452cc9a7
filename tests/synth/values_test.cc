// The numbers of one tensor.
#include "synth/values.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

namespace qsweep::synth {
namespace {

std::vector<bf16> drawn(uint64_t seed, const std::string& name, const Shape& shape) {
  std::vector<bf16> values(static_cast<size_t>(element_count(shape)));
  Values(seed, name, shape).draw({2}, 0, values);
  return values;
}

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

Moments moments_of(const std::vector<bf16>& values) {
  Moments m;
  const auto n = static_cast<double>(values.size());
  for (const bf16 v : values) m.mean += static_cast<double>(to_float(v)) / n;
  for (const bf16 v : values) {
    const double d = static_cast<double>(to_float(v)) - m.mean;
    m.deviation += d * d / n;
    m.largest = std::max(m.largest, std::abs(static_cast<double>(to_float(v))));
  }
  m.deviation = std::sqrt(m.deviation);
  return m;
}

TEST(Values, WeightsKeepTheScaleOfTheirInputs) {
  constexpr int64_t kOut = 500, kIn = 800;
  const double n = kOut * kIn, sigma = 1 / std::sqrt(static_cast<double>(kIn));
  const Moments m = moments_of(drawn(0, "model.layers.0.mlp.up_proj.weight", {kOut, kIn}));
  EXPECT_TRUE(std::abs(m.mean) <= 5 * sigma / std::sqrt(n)) << m.mean;
  // Rounding to bf16 adds 2^-9 / sqrt(3) of a value at most.
  EXPECT_TRUE(std::abs(m.deviation / sigma - 1) <= 5 / std::sqrt(2 * n) + 1e-5) << m.deviation;
  EXPECT_TRUE(m.largest > 4 * sigma && m.largest < 4.5 * sigma) << m.largest;
}

TEST(Values, ConvolutionsCountAllTheirInputs) {
  const Moments m = moments_of(drawn(0, "visual.patch_embed.proj.weight", {300, 3, 2, 14, 14}));
  EXPECT_TRUE(std::abs(m.deviation * std::sqrt(3 * 2 * 14 * 14) - 1) <= 0.01) << m.deviation;
}

TEST(Values, DependOnSeedNameAndPlaceOnly) {
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  const Shape shape{37, 61};
  const auto bits = [](std::span<const bf16> values) {
    std::vector<uint16_t> all;
    for (const bf16 v : values) all.push_back(v.bits);
    return all;
  };
  const std::vector<bf16> whole = drawn(1, name, shape);
  const Values values(1, name, shape);
  std::vector<bf16> piece(101);
  values.draw({3}, 400, piece);
  EXPECT_EQ(bits(piece), bits(std::span(whole).subspan(400, 101)));
  EXPECT_NE(bits(drawn(2, name, shape)), bits(whole));
  EXPECT_NE(bits(drawn(1, "model.layers.1.mlp.up_proj.weight", shape)), bits(whole));
}

std::vector<size_t> outliers(const std::string& name, int64_t width) {
  const std::vector<bf16> values = drawn(0, name, {width});
  std::vector<size_t> channels;
  for (size_t i = 0; i < values.size(); ++i) {
    const float size = std::abs(to_float(values[i]));
    EXPECT_TRUE(size <= 40) << name;
    if (size >= 10) channels.push_back(i);
  }
  return channels;
}

TEST(Values, NormsShareTheirOutlierChannels) {
  const std::vector<size_t> channels = outliers("model.layers.0.input_layernorm.weight", 2048);
  EXPECT_EQ(channels.size(), 4u);
  EXPECT_EQ(outliers("model.layers.7.post_attention_layernorm.weight", 2048), channels);
  EXPECT_EQ(outliers("model.layers.0.self_attn.q_norm.weight", 128).size(), 0u);
  const auto values = drawn(0, "model.norm.weight", {2048});
  EXPECT_EQ(
      std::count_if(values.begin(), values.end(), [](bf16 v) { return std::abs(to_float(v) - 1) > 0.5f; }),
      4);
}

TEST(Values, NormsMayLieAroundZero) {
  const Shape shape{200};
  std::vector<bf16> around_one(200), around_zero(200);
  Values(0, "model.norm.weight", shape).draw({1}, 0, around_one);
  Values(0, "model.norm.weight", shape, 0).draw({1}, 0, around_zero);
  for (size_t i = 0; i < around_one.size(); ++i)
    EXPECT_NEAR(to_float(around_one[i]), 1 + to_float(around_zero[i]), 0.01);
}

TEST(Values, KeysHaveLargeBiases) {
  const size_t found = outliers("model.layers.0.self_attn.k_proj.bias", 256).size();
  EXPECT_TRUE(found >= 2 && found <= 4) << found;  // four draws, some may meet
  EXPECT_EQ(outliers("model.layers.0.self_attn.q_proj.bias", 2048).size(), 0u);
}

}  // namespace
}  // namespace qsweep::synth
