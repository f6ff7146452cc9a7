// Which estimates `auto` measures, and in which order.
#include "sweep/refinement.h"

#include <numeric>

#include <gtest/gtest.h>

#include "sweep/estimate.h"

namespace qsweep::sweep {
namespace {

constexpr scores::Metric kRanking{scores::Which::logits_sse, scores::Scope::all};

// One format's estimates, by op; those at the given places are flagged, for the sake of another metric.
void add_format(scores::Run& run, const std::string& format, const std::vector<double>& estimates,
                const std::vector<size_t>& flagged) {
  for (size_t op = 0; op < estimates.size(); ++op) {
    scores::ScoreRecord& record = run.scores.emplace_back();
    record.op = static_cast<int>(op);
    record.format = format;
    record.method = scores::Method::adjoint;
    record.per_sample.resize(2);
    record.per_sample[0].all.logits_sse = estimates[op];
    if (std::ranges::count(flagged, op) > 0) record.flags = {kNonlinearFlag};
  }
}

std::vector<double> ascending(size_t n) {
  std::vector<double> estimates(n);
  std::iota(estimates.begin(), estimates.end(), 1.0);
  return estimates;
}

TEST(Refinement, FlaggedOnesComeFirstHoweverSmall) {
  scores::Run run;
  add_format(run, "w4a8", {5, 1, 9, 2, 7}, {1, 3});
  EXPECT_EQ(worth_measuring(run, kRanking, /*all=*/true), (std::vector<size_t>{3, 1, 2, 4, 0}));
}

TEST(Refinement, FormatsTakeTurns) {
  scores::Run run;
  add_format(run, "w4a8", {1, 3, 2}, {});
  add_format(run, "nvfp4", {7, 8, 9}, {0});
  EXPECT_EQ(worth_measuring(run, kRanking, /*all=*/true), (std::vector<size_t>{1, 3, 2, 5, 0, 4}));
}

TEST(Refinement, TakesTenAQuarterOrAllThatAreFlagged) {
  const auto taken = [](size_t ops, size_t flagged) {
    scores::Run run;
    std::vector<size_t> first(flagged);
    std::iota(first.begin(), first.end(), size_t{0});
    add_format(run, "w4a8", ascending(ops), first);
    return worth_measuring(run, kRanking, /*all=*/false);
  };
  EXPECT_EQ(taken(7, 0).size(), 7u);
  EXPECT_EQ(taken(20, 0).size(), 10u);
  EXPECT_EQ(taken(20, 3).size(), 10u);
  EXPECT_EQ(taken(80, 0).size(), 20u);
  EXPECT_EQ(taken(80, 31).size(), 31u);
  for (const size_t record : taken(80, 31)) EXPECT_LT(record, 31u);
}

TEST(Refinement, WhatHasNoNumberIsNotMeasured) {
  scores::Run run;
  add_format(run, "w4a8", {3, 2, 1}, {});
  run.scores[0].status = scores::Status::unexercised;
  EXPECT_EQ(worth_measuring(run, kRanking, /*all=*/true), (std::vector<size_t>{1, 2}));
}

}  // namespace
}  // namespace qsweep::sweep
