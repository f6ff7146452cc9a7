// Sweeps on a GPU: the scores of the CPU, but for the order of sums.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/stats.h"
#include "support/gpu.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using scores::Method;
using scores::Mode;
using testing::TinyRun;

class CudaSweep : public testing::GpuTest {
 protected:
  // The largest and the median relative difference of what the scores measured.
  struct Differences {
    size_t scores = 0;
    double worst = 0, median = 0;
  };
  Differences differences(sweep::ScoreOptions options, bool strict = true) {
    TinyRun tiny({"eval-000"});  // one image
    tiny.calibration = tiny.data;
    options.strict = strict;
    const auto cpu = tiny.score(options).run.scores;
    const TinyRun::Result on_gpu = tiny.score_on(device(), options);
    const auto& gpu = on_gpu.run.scores;
    deltas_ = on_gpu.report.deltas;
    EXPECT_EQ(cpu.size(), gpu.size());
    std::vector<double> found;
    for (size_t i = 0; i < cpu.size(); ++i) {
      EXPECT_EQ(cpu[i].status, gpu[i].status) << i;
      if (cpu[i].status != scores::Status::ok) continue;
      const auto add = [&](double expected, double value) {
        found.push_back(std::abs(value - expected) / std::abs(expected));
      };
      for (const auto which : {scores::Which::hidden_sse, scores::Which::logits_sse, scores::Which::kl}) {
        const scores::Metric metric{which, scores::Scope::all};
        const double expected = cpu[i].has(metric) ? sweep::total_error(cpu[i], metric) : 0;
        if (expected > 0) add(expected, sweep::total_error(gpu[i], metric));
      }
      if (cpu[i].local && cpu[i].local->error_sse > 0) add(cpu[i].local->error_sse, gpu[i].local->error_sse);
    }
    return {.scores = found.size(), .worst = std::ranges::max(found), .median = median(found)};
  }
  kernels::GemmCount deltas_;  // of the last sweep on the GPU
};

TEST_F(CudaSweep, FormatsOfEveryKind) {
  const Differences d =
      differences({.formats = testing::formats(
                       {"w8a8", "w8a8_dynamic", "w4a16_g32", "fp8_dynamic", "nvfp4", "mxfp6", "inc_w8a8"}),
                   .ops_glob = "*.1.mlp.down_proj"});
  EXPECT_EQ(d.scores, 2u * 7 * 4);
  EXPECT_LE(d.median, 1e-4);
  EXPECT_LE(d.worst, 0.02);
}

// Errors by products of codes, bf16 deltas: rounding decisions apart from the CPU's, as its own fast scores
// are from the strict ones.
TEST_F(CudaSweep, FastPrecision) {
  const Differences d = differences(
      {.formats = testing::formats({"w8a8", "w8a8_dynamic", "inc_w8a8"}), .ops_glob = "*.1.mlp.down_proj"},
      /*strict=*/false);
  EXPECT_EQ(d.scores, 2u * 3 * 4);
  EXPECT_LE(d.median, 2e-3);
  EXPECT_LE(d.worst, 0.03);
  EXPECT_GT(deltas_.flops - deltas_.bf16_flops, 0);  // those of codes
}

TEST_F(CudaSweep, TheHostWaitsBetweenStagesAlone) {
  TinyRun tiny({"eval-002"});  // text
  tiny.calibration = tiny.data;
  const int64_t before = kernels::waits(*device().gpu);
  const TinyRun::Result result = tiny.score_on(
      device(), {.formats = testing::formats({"w8a8", "nvfp4"}), .ops_glob = "model.layers.*.mlp.*"});
  const int64_t waits = kernels::waits(*device().gpu) - before;
  const auto stages = static_cast<int64_t>(tiny.model.stages.size());
  constexpr int64_t kWalks = 2;    // calibration, and the sweep
  constexpr int64_t kParents = 3;  // the reference, and all:f of both formats
  EXPECT_EQ(result.report.plan.chunks.size(), 1u);
  EXPECT_GT(waits, 0);
  EXPECT_LE(waits, kWalks * stages + 4 * kParents);  // for the head's results some per parent
}

TEST_F(CudaSweep, TheHeadAndItsGramForm) {
  for (const bool squared : {false, true}) {
    sweep::ScoreOptions options{.formats = testing::formats({"w8a8"}), .ops_glob = "lm_head"};
    if (squared) {
      options.ops_glob = "model.layers.*.self_attn.*";
      options.metric = {scores::Which::logits_sse, scores::Scope::all};
      options.metrics = {options.metric};
    }
    const Differences d = differences(options);
    EXPECT_GE(d.scores, 2u) << squared;
    EXPECT_LE(d.median, 1e-4) << squared;
    EXPECT_LE(d.worst, 0.02) << squared;
  }
}

TEST_F(CudaSweep, Sketches) {
  const TinyRun tiny({"eval-000"});
  for (const auto which : {scores::Which::kl, scores::Which::hidden_sse}) {
    const sweep::ScoreOptions options{.formats = testing::formats({"w4a16_g32"}),
                                      .ops_glob = "*.1.mlp.down_proj",
                                      .strict = true,
                                      .metric = {which},
                                      .sketch = 3};
    scores::Sketches cpu = *tiny.score(options).sketches, gpu = *tiny.score_on(device(), options).sketches;
    ASSERT_EQ(gpu.scores().size(), 2u);
    for (const size_t score : cpu.scores()) {
      double difference = 0, squares = 0;
      for (size_t i = 0; i < cpu.of(score, 0).size(); ++i) {
        const double expected = cpu.of(score, 0)[i];
        difference += std::pow(static_cast<double>(gpu.of(score, 0)[i]) - expected, 2);
        squares += expected * expected;
      }
      EXPECT_GT(squares, 0);
      EXPECT_LE(difference, 1e-8 * squares);
    }
  }
}

TEST_F(CudaSweep, LeaveOneOut) {
  const Differences d = differences({.formats = testing::formats({"w4a16_g32"}),
                                     .mode = Mode::leave_one_out,
                                     .ops_glob = "*.1.mlp.down_proj"});
  EXPECT_EQ(d.scores, 2u * 4);
  EXPECT_LE(d.worst, 1e-3);
}

TEST_F(CudaSweep, Estimates) {
  for (const Method method : {Method::fisher, Method::hawq, Method::local}) {
    const Differences d = differences(
        {.formats = testing::formats({"w8a8_dynamic"}), .method = method, .ops_glob = "*.1.mlp.down_proj"});
    EXPECT_GE(d.scores, 2u) << name(method);
    EXPECT_LE(d.worst, 0.01) << name(method);
  }
}

// The first two GPUs of a machine that has them.
TEST_F(CudaSweep, TwoGpus) {
  std::vector<std::shared_ptr<kernels::cuda::Queue>> gpus;
  try {
    for (const int i : {0, 1}) gpus.push_back(kernels::open_gpu(i));
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
  kernels::Gemm first({Threads{1}, gpus[0].get()}), second({Threads{1}, gpus[1].get()});
  const schedule::Devices devices({ops::Context{first}, ops::Context{second}});
  TinyRun tiny({"eval-011"});  // text alone: the emulator takes its time
  // Of one sample the variants are shared, of two equal ones the samples.
  for (const auto& [method, samples] : {std::pair(Method::exact, 1), {Method::exact, 2}, {Method::hawq, 2}}) {
    const sweep::ScoreOptions options{.formats = testing::formats({"w8a8_dynamic"}),
                                      .method = method,
                                      .ops_glob = "model.layers.*.mlp.down_proj",
                                      .max_ops = 2,
                                      .strict = true};
    tiny.data.resize(static_cast<size_t>(samples), tiny.data.front());
    const auto one = tiny.score_on(device(), options), two = tiny.score_on(devices, options);
    EXPECT_EQ(two.report.plan.devices(), 2u);
    for (size_t i = 0; i < one.run.scores.size(); ++i) {
      EXPECT_EQ(one.run.scores[i].status, two.run.scores[i].status);
      if (one.run.scores[i].status != scores::Status::ok) continue;
      const double expected = sweep::total_error(one.run.scores[i], {});
      EXPECT_NEAR(sweep::total_error(two.run.scores[i], {}) / expected, 1, 1e-3);
    }
  }
}

}  // namespace
}  // namespace qsweep
