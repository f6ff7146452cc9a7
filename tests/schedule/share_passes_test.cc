// What several devices do and in which order they are heard, without a model.
#include "schedule/share_passes.h"

#include <condition_variable>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "schedule/cpus.h"
#include "schedule/shares.h"

namespace qsweep {
namespace {

using schedule::Share;
using testing::Cpus;
using Numbers = std::vector<int>;

// Work of samples, each with its variants.
schedule::Work work_of(std::vector<double> samples, double reference) {
  return [samples = std::move(samples), reference](const Share& share) {
    double sum = 0;
    for (const int s : share.samples)
      sum += samples[static_cast<size_t>(s)] * (reference + static_cast<double>(share.variants.size()));
    return sum;
  };
}

TEST(Shares, SamplesAreDealtByTheirWork) {
  const auto shares = schedule::shares_of(2, 4, 3, work_of({1, 5, 2, 3}, 1));
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_EQ(shares[0].samples, (Numbers{0, 1}));
  EXPECT_EQ(shares[1].samples, (Numbers{2, 3}));
  for (const Share& share : shares) EXPECT_EQ(share.variants, (Numbers{0, 1, 2}));
}

TEST(Shares, VariantsOfTooFewSamplesAreStridden) {
  const auto one = schedule::shares_of(2, 1, 5, work_of({1}, 1));
  EXPECT_EQ(one[0].variants, (Numbers{0, 2, 4}));
  EXPECT_EQ(one[1].variants, (Numbers{1, 3}));
  const auto two = schedule::shares_of(4, 2, 5, work_of({1, 1}, 1));
  EXPECT_EQ(two[0].samples, Numbers{0});
  EXPECT_EQ(two[1].samples, Numbers{0});
  EXPECT_EQ(two[3].samples, Numbers{1});
  EXPECT_EQ(two[3].variants, (Numbers{1, 3}));
}

// One large sample and a small one: with a cheap reference it pays to share the variants, with a dear one it
// does not.
TEST(Shares, TheReferenceCounts) {
  EXPECT_EQ(schedule::shares_of(2, 2, 8, work_of({3, 1}, 1))[0].samples, (Numbers{0, 1}));
  EXPECT_EQ(schedule::shares_of(2, 2, 8, work_of({3, 1}, 50))[0].samples, Numbers{0});
}

TEST(Shares, EverythingIsInOneShare) {
  for (const int devices : {1, 2, 3, 4, 6})
    for (const int samples : {1, 2, 5})
      for (const int variants : {0, 1, 7}) {
        std::set<std::pair<int, int>> seen;
        const auto shares = schedule::shares_of(
            devices, samples, variants, work_of(std::vector<double>(static_cast<size_t>(samples), 1), 1));
        EXPECT_EQ(shares.size(), static_cast<size_t>(devices));
        EXPECT_FALSE(shares[0].samples.empty());
        for (const Share& share : shares)
          for (const int s : share.samples)
            for (const int v : variants == 0 ? Numbers{-1} : share.variants)
              EXPECT_TRUE(seen.emplace(s, v).second);
        EXPECT_EQ(seen.size(), static_cast<size_t>(samples * std::max(1, variants)));
      }
}

struct Sinks {
  std::function<void(int)> number;
  std::function<void(const std::string&, double)> stage_done;
};
auto results(Sinks& sinks) { return std::tie(sinks.number); }

// So many passes for each of two devices, the first device's first.
schedule::MemoryPlan passes(int of_each) {
  schedule::MemoryPlan plan{.budget_bytes = int64_t{100} << 20, .base_bytes = int64_t{7} << 20, .chunks = {}};
  plan.chunks.resize(2 * static_cast<size_t>(of_each));
  for (size_t i = 0; i < plan.chunks.size(); ++i) plan.chunks[i].device = i < plan.chunks.size() / 2 ? 0 : 1;
  return plan;
}

class SharePasses : public ::testing::Test {
 protected:
  template <class Body>
  void run(const schedule::MemoryPlan& plan, Body&& body) {
    const auto sinks_of = [&](const schedule::Chunk&) {
      return Sinks{.number = [&](int n) { told.push_back(n); },
                   .stage_done = [&](const std::string&, double) { ++stages; }};
    };
    const Cpus cpus(2);
    schedule::PhaseLog log;
    schedule::run_passes(*cpus, plan, log, sinks_of,
                         [&](size_t i, const ops::Context& context, const Sinks& sinks, const auto&) {
                           EXPECT_EQ(&context, &(*cpus)[plan.chunks[i].device]);
                           body(static_cast<int>(i), sinks);
                           return pass::PassReport{};
                         });
  }
  // Until `done` is true, a minute at most.
  void wait_until(const std::function<bool()>& done) {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, std::chrono::minutes(1), done));
  }
  void set(bool& what) {
    const std::lock_guard lock(mutex);
    what = true;
    changed.notify_all();
  }

  Numbers told;
  int stages = 0;
  std::mutex mutex;
  std::condition_variable changed;
};

// The first device waits until the second is through.
TEST_F(SharePasses, ResultsComeInTheOrderOfThePlan) {
  bool second_is_through = false;
  run(passes(2), [&](int i, const Sinks& sinks) {
    if (i == 0) wait_until([&] { return second_is_through; });
    sinks.number(10 * i);
    sinks.stage_done("", 0);
    sinks.number(10 * i + 1);
    if (i == 3) set(second_is_through);
  });
  EXPECT_EQ(told, (Numbers{0, 1, 10, 11, 20, 21, 30, 31}));
  EXPECT_EQ(stages, 4);
}

TEST_F(SharePasses, ADeviceThatFailsStopsTheOthers) {
  for (const int failing : {0, 2}) {
    told.clear();
    bool begun = false;
    int ended = 0;
    const auto body = [&](int i, const Sinks& sinks) {
      if (i == failing) {
        wait_until([&] { return begun; });
        throw Error("lost");
      }
      set(begun);
      const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
      while (std::chrono::steady_clock::now() < end) sinks.stage_done("", 0);
      ++ended;
    };
    EXPECT_THROW(run(passes(2), body), Error) << failing;
    EXPECT_EQ(ended, 0) << "no pass went on, and none began";
    EXPECT_TRUE(told.empty());
  }
}

TEST_F(SharePasses, TooLittleMemoryIsToldWithThePlan) {
  schedule::MemoryPlan plan = passes(1);
  plan.chunks[1].plan.peak_bytes = int64_t{80} << 20;
  const auto body = [](int i, const Sinks&) {
    if (i == 1) throw OutOfMemory("GPU 1 has none left");
  };
  EXPECT_THAT([&] { run(plan, body); },
              ::testing::ThrowsMessage<OutOfMemory>(
                  "pass 2 of 2, planned with 87 MiB of the 100 MiB of --memory: GPU 1 has none left"));
}

}  // namespace
}  // namespace qsweep
