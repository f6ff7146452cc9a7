#include "base/rng.h"

#include <cmath>
#include <numeric>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qsweep {
namespace {

// The first outputs of splitmix64 with seed 0: mix64(k * increment).
TEST(Rng, Mix64IsSplitmix64) {
  constexpr uint64_t kIncrement = 0x9e3779b97f4a7c15u;
  EXPECT_EQ(mix64(0), 0xe220a8397b1dcdafu);
  EXPECT_EQ(mix64(kIncrement), 0x6e789e6aa1b965f4u);
  EXPECT_EQ(mix64(2 * kIncrement), 0x06c45d188009454fu);
}

TEST(Rng, SeedAndStreamDecide) {
  Rng a(1, 2), same(1, 2), other_seed(2, 2), other_stream(1, 3);
  for (int i = 0; i < 100; ++i) {
    const uint64_t draw = a.next();
    EXPECT_EQ(draw, same.next());
    EXPECT_NE(draw, other_seed.next());
    EXPECT_NE(draw, other_stream.next());
  }
}

TEST(Rng, DrawsAreUniform) {
  constexpr int kDraws = 100'000;
  Rng rng(7);
  std::vector<int> counts(10);
  double sum = 0;
  for (int i = 0; i < kDraws; ++i) {
    const uint64_t digit = rng.below(10);
    ASSERT_LT(digit, 10u);
    ++counts[digit];
    const double u = rng.uniform();
    ASSERT_TRUE(u >= 0 && u < 1);
    sum += u;
  }
  // Five standard deviations of a binomial count and of a mean of uniforms.
  for (const int count : counts) EXPECT_LE(std::abs(count - kDraws / 10), 5 * std::sqrt(kDraws * .09));
  EXPECT_LE(std::abs(sum / kDraws - .5), 5 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_EQ(rng.below(1), 0u);
}

TEST(Rng, ShufflePermutesEvenly) {
  std::vector<int> first_counts(5);
  Rng rng(3);
  for (int round = 0; round < 10'000; ++round) {
    std::vector<int> items(5);
    std::iota(items.begin(), items.end(), 0);
    rng.shuffle(std::span(items));
    EXPECT_THAT(items, ::testing::UnorderedElementsAre(0, 1, 2, 3, 4));
    ++first_counts[static_cast<size_t>(items[0])];
  }
  for (const int count : first_counts) EXPECT_LE(std::abs(count - 2000), 5 * std::sqrt(10'000 * .16));
  rng.shuffle(std::span<int>());
}

}  // namespace
}  // namespace qsweep
