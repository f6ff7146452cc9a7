// Scores that are measured once more (--verify).
#include "sweep/verify.h"

#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scores/synthetic.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using scores::Method;
using scores::Mode;
using scores::Status;
using sweep::choose_for_verification;
using sweep::Chosen;
using ::testing::ElementsAre;
using testing::kKl;
using testing::TinyRun;

// Ten ops in two formats; the score of op i is 10 - i, in the second format the other way round.
scores::Run ten_ops() {
  scores::Run run = scores::make_run();
  run.ops.assign(10, run.ops[0]);
  run.scores.clear();
  for (const bool second : {false, true})
    for (int op = 0; op < 10; ++op) {
      run.scores.push_back(scores::make_score(op, {second ? 1.0 + op : 10.0 - op, 0, 0}));
      if (second) run.scores.back().format = "nvfp4";
    }
  return run;
}

std::vector<size_t> records(const std::vector<Chosen>& chosen, bool top) {
  std::vector<size_t> found;
  for (const Chosen& c : chosen)
    if (c.top == top) found.push_back(c.record);
  return found;
}

TEST(Verify, HalfAreTheMostSensitiveOfAllFormatsInTurn) {
  const auto chosen = choose_for_verification(ten_ops(), kKl, 7, 1);
  EXPECT_THAT(records(chosen, true), ElementsAre(0, 19, 1, 18));
  const auto drawn = records(chosen, false);
  EXPECT_EQ(std::set<size_t>(drawn.begin(), drawn.end()).size(), 3u);
  for (const size_t record : drawn)
    EXPECT_THAT(records(chosen, true), ::testing::Not(::testing::Contains(record)));
}

TEST(Verify, TheSeedDecidesWhatIsDrawn) {
  const auto drawn = [&](uint64_t seed) {
    return records(choose_for_verification(ten_ops(), kKl, 8, seed), false);
  };
  EXPECT_EQ(drawn(1), drawn(1));
  EXPECT_NE(drawn(1), drawn(2));
  std::set<size_t> all;
  for (uint64_t seed = 0; seed < 100; ++seed)
    for (const size_t record : drawn(seed)) all.insert(record);
  EXPECT_EQ(all.size(), 16u) << "everything below the top can be drawn";
}

TEST(Verify, InLeaveOneOutTheSmallestAreTheTop) {
  scores::Run run = ten_ops();
  for (auto& score : run.scores) score.mode = Mode::leave_one_out;
  EXPECT_THAT(records(choose_for_verification(run, kKl, 4, 1), true), ElementsAre(9, 10));
}

TEST(Verify, OnlyFiniteMeasuredScoresAreChosen) {
  scores::Run run = ten_ops();
  run.scores[0].per_sample[1].all.kl = NAN;
  run.scores[1].status = Status::spread;
  run.scores[2].status = Status::skipped;
  const auto chosen = choose_for_verification(run, kKl, 100, 1);
  EXPECT_EQ(chosen.size(), 17u);
  EXPECT_EQ(records(chosen, true).size(), 9u);
  for (const Chosen& c : chosen) EXPECT_GT(c.record, 2u);
}

// The verified sums are those of a strict exact run.
void expect_strict_sums(const TinyRun& tiny, sweep::ScoreOptions options, double bound) {
  options.formats = testing::formats({"w4a16_g32"});  // no rounding decisions on activations
  options.ops_glob = "*.[14].*";
  options.verify = 6;
  const scores::Run run = tiny.score(options).run;
  options.method = Method::exact;
  options.strict = true;
  options.verify = 0;
  const scores::Run strict = tiny.score(options).run;
  ASSERT_EQ(run.verification.size(), 6u);
  for (const scores::VerifiedScore& v : run.verification) {
    const auto op = static_cast<size_t>(v.op);
    EXPECT_EQ(v.score, run.scores[op].sum(kKl));
    EXPECT_EQ(v.method, run.scores[op].method);
    EXPECT_TRUE(std::fabs(v.strict / strict.scores[op].sum(kKl) - 1) <= 1e-4) << run.ops[op].name;
    EXPECT_TRUE(std::fabs(v.deviation()) <= bound) << run.ops[op].name << " " << v.deviation();
  }
  EXPECT_EQ(run.verification.front().op, std::ranges::find(run.scores, 1, &scores::ScoreRecord::rank)->op);
}

TEST(VerifySlow, MeasuresExactlyAndInF32) {
  const TinyRun tiny({"eval-000", "eval-005"});
  expect_strict_sums(tiny, {}, 2e-2);
  expect_strict_sums(tiny, {.mode = Mode::leave_one_out}, 0.25);
  expect_strict_sums(tiny, {.method = Method::adjoint}, 10);
}

TEST(Verify, LeavesAreSelectedByTheirScores) {
  const TinyRun tiny({"eval-005"});
  const auto formats = testing::formats({"w8a16", "w4a8"});
  const sweep::Outlook outlook = sweep::make_outlook(tiny.model, tiny.data, tiny.calibration,
                                                     {.formats = formats, .mode = Mode::leave_one_out});
  const auto last = outlook.records.size() - 1;  // lm_head in w4a8
  const std::vector<pass::VariantId> selected = select_leaves(outlook, std::vector<size_t>{last, last - 5});
  ASSERT_EQ(selected.size(), 2u);
  for (size_t i = 0; i < selected.size(); ++i) {
    const pass::Variant& leaf = at(outlook.variants, selected[i]);
    ASSERT_FALSE(leaf.carried);
    EXPECT_EQ(at(outlook.variants, leaf.parent).formats.back(), formats[1]);
    const std::vector<sweep::Target>& targets = at(outlook.targets, selected[i]);
    ASSERT_EQ(targets.size(), 1u);
    EXPECT_EQ(targets[0].index, i == 0 ? last - 5 : last);
  }
  EXPECT_TRUE(select_leaves(outlook, std::vector<size_t>{0}).empty()) << "not exercised by text, so no leaf";
}

TEST(Verify, WhatWillNotFitIsSaidBefore) {
  const TinyRun tiny({"eval-000"});
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  const auto prepared = [&](int64_t bytes, int64_t verify) {
    sweep::Sweep sweep(tiny.model, context, tiny.data, tiny.calibration,
                       {.formats = testing::formats({"w8a16"}), .memory_bytes = bytes, .verify = verify});
    sweep.prepare();
    return sweep.verify_plan() == nullptr ? 0 : sweep.verify_plan()->peak_bytes() - sweep.plan().peak_bytes();
  };
  EXPECT_EQ(prepared(int64_t{4} << 30, 0), 0);
  EXPECT_GT(prepared(int64_t{4} << 30, 2), 0) << "f32 deltas take more memory";
  EXPECT_THROW(prepared(1 << 20, 2), Error);
}

}  // namespace
}  // namespace qsweep
