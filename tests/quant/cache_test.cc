// Formats of caches against their definition in plain loops.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/codec.h"
#include "base/rng.h"
#include "quant/quantizers.h"

namespace qsweep::quant {
namespace {

constexpr int64_t kTokens = 5, kHeads = 3, kHeadDim = 32, kWidth = kHeads * kHeadDim;
constexpr Range kOfKeys{-2.5f, 1}, kOfValues{-0.25f, 0.5f};

// Keys beside values, a tenth of the size; some numbers are beyond the ranges.
std::vector<float> numbers() {
  Rng rng(11);
  std::vector<float> x;
  for (int64_t i = 0; i < kTokens * 2 * kWidth; ++i) {
    const auto uniform = static_cast<float>(rng.below(2001)) / 1000 - 1;
    x.push_back(uniform * (i % (2 * kWidth) < kWidth ? 3.0f : 0.3f));
  }
  return x;
}

float absmax(const float* x, int64_t n) {
  float most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::fabs(x[i]));
  return most;
}

// A small float in its own arithmetic: steps of 2^-mantissa of the power of two below, ties to even.
float small_float(float x, int mantissa, int smallest, float top) {
  if (x == 0) return 0;
  const int exponent = std::max(std::ilogb(x), smallest);
  const double step = std::ldexp(1.0, exponent - mantissa);
  return std::clamp(static_cast<float>(std::nearbyint(static_cast<double>(x) / step) * step), -top, top);
}
float e4m3(float x) { return small_float(x, 3, -6, 448); }
float whole(float x) { return std::clamp(std::nearbyint(x), -127.0f, 127.0f); }

// The values of one head of one token.
void expected_head(const std::string& format, const float* x, float tensor, float* y) {
  const bool per_head = format.ends_with("token_head");
  if (format == "kv_nvfp4") {
    const float second = tensor / (6.0f * 448.0f);
    for (int64_t block = 0; block < kHeadDim; block += 16) {
      const float first = e4m3(std::min(absmax(x + block, 16) / (6.0f * second), 448.0f)) * second;
      for (int64_t i = block; i < block + 16; ++i)
        y[i] = first == 0 ? 0 : small_float(x[i] / first, 1, 0, 6) * first;
    }
    return;
  }
  const bool integers = format.starts_with("kv_int8");
  const float scale = (per_head ? absmax(x, kHeadDim) : tensor) / (integers ? 127.0f : 448.0f);
  for (int64_t i = 0; i < kHeadDim; ++i) y[i] = (integers ? whole(x[i] / scale) : e4m3(x[i] / scale)) * scale;
}

TEST(CacheFormats, AreAsDefined) {
  const std::vector<float> x = numbers();
  for (const Format& format : cache_formats()) {
    std::vector<float> got(x.size()), want(x.size());
    fake_quantize_cache(Threads{2}, format, kHeadDim, {x.data(), kTokens, 2 * kWidth}, &kOfKeys, &kOfValues,
                        {got.data(), kTokens, 2 * kWidth});
    for (int64_t head = 0; head < kTokens * 2 * kHeads; ++head) {
      const bool is_key = head % (2 * kHeads) < kHeads;
      expected_head(std::string(format.name), x.data() + head * kHeadDim, is_key ? 2.5f : 0.5f,
                    want.data() + head * kHeadDim);
    }
    EXPECT_EQ(got, want) << format.name;
  }
}

TEST(CacheFormats, CountBitsPerNumber) {
  EXPECT_EQ(effective_cache_bits(find_format("kv_fp8"), 128), 8);
  EXPECT_EQ(effective_cache_bits(find_format("kv_fp8_token_head"), 128), 8.25);
  EXPECT_EQ(effective_cache_bits(find_format("kv_int8_token_head"), 64), 8.5);
  EXPECT_EQ(effective_cache_bits(find_format("kv_nvfp4"), 128), 4.5);
}

TEST(CacheFormats, AreFoundByEitherNameAndInNoPreset) {
  for (const Format& format : cache_formats()) {
    EXPECT_TRUE(format.of_caches && !quantizes_weights(format) && quantizes_activations(format));
    EXPECT_EQ(&find_format(format.name), &format);
    EXPECT_EQ(&find_cache_format(format.name), &format);
    EXPECT_EQ(&find_cache_format(format.name.substr(3)), &format);
    EXPECT_THROW(find_formats(format.name), Error);
    const auto all = find_formats("all");
    EXPECT_EQ(std::ranges::count(all, &format), 0);
  }
  EXPECT_THROW(find_cache_format("w8a8"), Error);
}

TEST(CacheFormats, RefuseBlocksThatDoNotDivideAHead) {
  std::vector<float> x(48);
  EXPECT_THROW(fake_quantize_cache(Threads{1}, find_format("kv_nvfp4"), 24, {x.data(), 1, 48}, &kOfKeys,
                                   &kOfValues, {x.data(), 1, 48}),
               std::exception);
}

}  // namespace
}  // namespace qsweep::quant
