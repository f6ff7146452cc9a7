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
  // The largest and the median relative difference of what the scores measured, in strict precision.
  struct Differences {
    size_t scores = 0;
    double worst = 0, median = 0;
  };
  Differences differences(sweep::ScoreOptions options) const {
    TinyRun tiny({"eval-000"});  // one image
    tiny.calibration = tiny.data;
    options.strict = true;
    const auto cpu = tiny.score(options).run.scores, gpu = tiny.score_on(device(), options).run.scores;
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
  const sweep::Devices devices({ops::Context{first}, ops::Context{second}});
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
