#include "base/checked.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qsweep {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max(), kMin = std::numeric_limits<int64_t>::min();

TEST(Checked, ExactUpToTheLimits) {
  EXPECT_EQ(checked_mul<int64_t>(int64_t{1} << 31, int64_t{1} << 31), int64_t{1} << 62);
  EXPECT_EQ(checked_mul<int64_t>(kMax, 1), kMax);
  EXPECT_EQ(checked_mul<int64_t>(kMax, 0), 0);
  EXPECT_EQ(checked_add<int64_t>(kMax - 1, 1), kMax);
  EXPECT_EQ(checked_add<int64_t>(kMin, kMax), -1);
}

TEST(Checked, OverflowIsAnErrorWithTheOperands) {
  EXPECT_THAT([] { checked_mul<int64_t>(int64_t{1} << 32, int64_t{1} << 31); },
              ::testing::ThrowsMessage<Error>(std::string("4294967296 x 2147483648 is too large")));
  EXPECT_THROW(checked_mul<int64_t>(kMin, -1), Error);
  EXPECT_THROW(checked_mul<uint64_t>(uint64_t{1} << 32, uint64_t{1} << 32), Error);
  EXPECT_THAT([] { checked_add<int64_t>(kMax, 1); },
              ::testing::ThrowsMessage<Error>(std::string("9223372036854775807 + 1 is too large")));
  EXPECT_THROW(checked_add<uint64_t>(UINT64_MAX, 1), Error);
}

TEST(Checked, CastKeepsTheValueOrFails) {
  EXPECT_EQ((checked_cast<int32_t>(int64_t{-5})), -5);
  EXPECT_EQ((checked_cast<int64_t>(static_cast<uint64_t>(kMax))), kMax);
  EXPECT_EQ((checked_cast<uint8_t>(255)), 255);
  EXPECT_THROW((checked_cast<int64_t>(uint64_t{1} << 63)), Error);
  EXPECT_THROW((checked_cast<uint64_t>(int64_t{-1})), Error);
  EXPECT_THROW((checked_cast<uint8_t>(256)), Error);
  EXPECT_THROW((checked_cast<int32_t>(int64_t{1} << 31)), Error);
}

}  // namespace
}  // namespace qsweep
