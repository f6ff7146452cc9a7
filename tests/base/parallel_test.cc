#include "base/parallel.h"

#include <atomic>
#include <mutex>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace qsweep {
namespace {

TEST(ParallelFor, CoversTheRangeOnceWhateverTheThreads) {
  for (const int threads : {0, 1, 2, 3, 8})
    for (const int64_t n : {0, 1, 2, 7, 1000}) {
      std::vector<int> visits(static_cast<size_t>(n));
      parallel_for(Threads{threads}, n, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
      });
      EXPECT_THAT(visits, ::testing::Each(1)) << threads << " threads, " << n;
    }
}

TEST(ParallelFor, PiecesDependOnCountsOnly) {
  std::mutex mutex;
  std::set<std::pair<int64_t, int64_t>> pieces;
  parallel_for(Threads{3}, 10, [&](int64_t begin, int64_t end) {
    const std::lock_guard lock(mutex);
    pieces.emplace(begin, end);
  });
  EXPECT_THAT(pieces,
              ::testing::ElementsAre(::testing::Pair(0, 3), ::testing::Pair(3, 6), ::testing::Pair(6, 10)));
}

TEST(ParallelFor, ExceptionsReachTheCallerAfterAllPieces) {
  std::atomic<int> pieces = 0;
  const auto run = [&] {
    parallel_for(Threads{4}, 8, [&](int64_t begin, int64_t) {
      ++pieces;
      if (begin == 2) fail("piece at {}", begin);
    });
  };
  EXPECT_THAT(run, ::testing::ThrowsMessage<Error>(std::string("piece at 2")));
  EXPECT_EQ(pieces, 4);
}

}  // namespace
}  // namespace qsweep
