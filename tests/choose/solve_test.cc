#include "choose/solve.h"

#include <chrono>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "choose/program.h"
#include "choose/relaxation.h"
#include "random_problem.h"

namespace qsweep::choose {
namespace {

// A budget between the cheapest and the dearest.
int64_t budget_between(const Problem& problem, double share) {
  const auto low = static_cast<double>(problem.cheapest_bits()),
             high = static_cast<double>(problem.dearest_bits());
  return static_cast<int64_t>(low + share * (high - low));
}

ProblemSize some_size(uint64_t seed, bool pairs) {
  const size_t formats = 2 + seed % 3;  // 2, 3, 4: at most 4096 or 6561 or 4096 selections
  constexpr size_t kMost[] = {12, 8, 6};
  return {.decisions = 2 + seed % (kMost[formats - 2] - 1), .formats = formats, .pairs = pairs};
}

constexpr uint64_t kInstances = 200;

TEST(Solve, TheSumIsTheLeastOfAll) {
  for (uint64_t seed = 0; seed < kInstances; ++seed) {
    const Problem problem = random_problem(some_size(seed, false), seed);
    const int64_t budget = budget_between(problem, static_cast<double>(seed % 17) / 16);
    double least = INFINITY;
    each_selection(problem, [&](const Selection& s) {
      if (problem.bits(s) <= budget) least = std::min(least, problem.sum(s));
    });
    const ExactSum exact = least_sum(problem, budget);
    EXPECT_LE(problem.bits(exact.selection), budget) << seed;
    EXPECT_NEAR(exact.sum, least, 1e-12 * least) << seed;
    EXPECT_EQ(exact.gap(), 0) << seed;
    const Relaxation relaxation = relax(problem, errors_of(problem), budget);
    EXPECT_LE(relaxation.least_sum, least * (1 + 1e-9)) << seed;
    EXPECT_LE(problem.bits(relaxation.rounded), budget) << seed;
  }
}

TEST(Solve, DescentFindsTheBestWithPairsNearlyAlways) {
  int found = 0, instances = 0;
  double worst = 1;
  for (uint64_t seed = 0; seed < kInstances; ++seed, ++instances) {
    const Problem problem = random_problem(some_size(seed, true), seed);
    const int64_t budget = budget_between(problem, static_cast<double>(seed % 17) / 16);
    double least = INFINITY;
    each_selection(problem, [&](const Selection& s) {
      if (problem.bits(s) <= budget) least = std::min(least, problem.predicted(s));
    });
    const Candidates candidates = solve(problem, budget);
    const double best = candidates.best.front().predicted;
    found += best <= least * (1 + 1e-9) ? 1 : 0;
    worst = std::max(worst, best / least);
  }
  RecordProperty("found", found);
  RecordProperty("worst", fmt::format("{}", worst));
  EXPECT_GE(found, instances * 98 / 100);
  EXPECT_LE(worst, 1.05);
}

TEST(Solve, CandidatesAreDistinctOrderedAndWithinTheBudget) {
  const Problem problem = random_problem({.decisions = 12, .formats = 4, .pairs = true}, 7);
  const int64_t budget = budget_between(problem, 0.4);
  const Candidates candidates = solve(problem, budget);
  ASSERT_EQ(candidates.best.size(), 8u);
  std::set<Selection> distinct;
  for (const Candidate& c : candidates.best) {
    EXPECT_LE(c.bits, budget);
    EXPECT_EQ(c.bits, problem.bits(c.selection));
    EXPECT_DOUBLE_EQ(c.predicted, problem.predicted(c.selection));
    EXPECT_DOUBLE_EQ(c.sum, problem.sum(c.selection));
    distinct.insert(c.selection);
  }
  EXPECT_EQ(distinct.size(), 8u);
  ASSERT_TRUE(candidates.additive);
  EXPECT_EQ(candidates.best[*candidates.additive].selection, least_sum(problem, budget).selection);
  for (size_t i = 1; i + 1 < candidates.best.size(); ++i)
    EXPECT_LE(candidates.best[i - 1].predicted, candidates.best[i].predicted);
}

TEST(Solve, WhatWasMeasuredIsLeftOut) {
  const Problem problem = random_problem({.decisions = 8, .formats = 3, .pairs = true}, 3);
  const int64_t budget = budget_between(problem, 0.5);
  SolveOptions options;
  for (const Candidate& c : solve(problem, budget).best) options.skip.push_back(c.selection);
  const Candidates next = solve(problem, budget, options);
  EXPECT_EQ(next.best.size(), 8u);
  EXPECT_FALSE(next.additive);
  for (const Candidate& c : next.best)
    EXPECT_THAT(options.skip, ::testing::Not(::testing::Contains(c.selection)));
}

TEST(Solve, TheSameInputHasTheSameResult) {
  const Problem problem = random_problem({.decisions = 40, .formats = 5, .pairs = true}, 5);
  const int64_t budget = budget_between(problem, 0.3);
  const Candidates one = solve(problem, budget), two = solve(problem, budget);
  ASSERT_EQ(one.best.size(), two.best.size());
  for (size_t i = 0; i < one.best.size(); ++i) EXPECT_EQ(one.best[i].selection, two.best[i].selection);
}

TEST(Solve, TheEndsOfTheBudget) {
  const Problem problem = random_problem({.decisions = 6, .formats = 3, .pairs = true}, 11);
  EXPECT_EQ(solve(problem, problem.cheapest_bits()).best.front().bits, problem.cheapest_bits());
  EXPECT_THROW(solve(problem, problem.cheapest_bits() - 1), ContractError);
  const Candidates all = solve(problem, problem.dearest_bits());
  double least = INFINITY;
  each_selection(problem, [&](const Selection& s) { least = std::min(least, problem.predicted(s)); });
  EXPECT_NEAR(all.best.front().predicted, least, 1e-9 * least);
}

TEST(Solve, FewestBitsWithinAnError) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Problem problem = random_problem({.decisions = 6, .formats = 3, .pairs = seed % 2 == 0}, seed);
    const double most = solve(problem, budget_between(problem, 0.5)).best.front().predicted;
    int64_t fewest = INT64_MAX;
    each_selection(problem, [&](const Selection& s) {
      if (problem.predicted(s) <= most) fewest = std::min(fewest, problem.bits(s));
    });
    EXPECT_EQ(fewest_bits(problem, most), fewest) << seed;
  }
  const Problem problem = random_problem({}, 1);
  EXPECT_EQ(fewest_bits(problem, 0), std::nullopt) << "no choice is without error";
}

TEST(SolveSlow, AModelOfFiveHundredGroups) {
  const Problem problem = random_problem({.decisions = 500, .formats = 12}, 1);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 1; i <= 20; ++i) {
    const int64_t budget = budget_between(problem, i / 21.0);
    const Candidates candidates = solve(problem, budget);
    for (const Candidate& c : candidates.best) EXPECT_LE(c.bits, budget);
    EXPECT_EQ(candidates.gap, 0);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  RecordProperty("seconds", fmt::format("{:.1f}", seconds.count()));
  EXPECT_LE(seconds.count(), 60) << "10 on a machine that does nothing else";
}

}  // namespace
}  // namespace qsweep::choose
