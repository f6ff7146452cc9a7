// The estimators against exact scores on the same samples. QSWEEP_FULL=1 in the environment takes every
// format and five seeds instead of a quick selection.
#include "sweep/estimate.h"

#include <cstdlib>
#include <map>

#include <gtest/gtest.h>

#include "base/stats.h"
#include "sweep/calibrate.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using scores::Method;
using scores::Metric;
using scores::ScoreRecord;
using scores::Which;
using testing::full;
using testing::kKl;
using testing::kLogits;
using testing::TinyRun;

std::vector<std::string> first_ids(int n) {
  std::vector<std::string> ids;
  for (int i = 0; i < n; ++i) ids.push_back(fmt::format("eval-{:03}", i));
  return ids;
}

sweep::ScoreOptions adjoint(const std::vector<std::string>& formats, Metric metric, uint64_t seed = 0) {
  return {.formats = testing::formats(formats), .method = Method::adjoint, .metric = metric, .seed = seed};
}

// log(estimate / exact) of the ops of one format.
struct Comparison {
  std::vector<double> estimates, exact, log_errors, unflagged;
};

Comparison compare(const scores::Run& estimated, const scores::Run& exact, const std::string& format,
                   Metric metric) {
  Comparison c;
  for (size_t i = 0; i < exact.scores.size(); ++i) {
    const ScoreRecord &e = estimated.scores[i], &x = exact.scores[i];
    if (e.format != format) continue;
    c.estimates.push_back(e.sum(metric));
    c.exact.push_back(x.sum(metric));
    const double error = std::abs(std::log(c.estimates.back() / c.exact.back()));
    c.log_errors.push_back(error);
    if (std::find(e.flags.begin(), e.flags.end(), "nonlinear") == e.flags.end()) c.unflagged.push_back(error);
  }
  return c;
}

TEST(EstimateSlow, AdjointAgreesWithExactScores) {
  const TinyRun tiny(first_ids(16));
  std::vector<std::string> formats{"nvfp4"};
  if (full()) formats.insert(formats.end(), {"w8a8", "w8a8_dynamic", "w4a8"});
  const auto exact = tiny.score({.formats = testing::formats(formats)}).run;
  std::vector<double> unflagged;
  for (uint64_t seed = 0; seed < (full() ? 5 : 1); ++seed) {
    sweep::ScoreOptions options = adjoint(formats, kKl, seed);
    options.metrics = {kLogits};
    const auto estimated = tiny.score(options).run;
    for (const Metric metric : {kKl, kLogits})
      for (const std::string& format : formats) {
        const Comparison c = compare(estimated, exact, format, metric);
        const double rho = spearman(c.estimates, c.exact), middle = std::exp(median(c.log_errors));
        std::printf("seed %d %s %s: spearman %.4f, median error factor %.3f, worst unflagged %.3f of %zu\n",
                    static_cast<int>(seed), name(metric).c_str(), format.c_str(), rho, middle,
                    std::exp(quantile(c.unflagged, 1)), c.unflagged.size());
        EXPECT_TRUE(rho >= 0.985);
        EXPECT_TRUE(middle <= 1.25);
        unflagged.insert(unflagged.end(), c.unflagged.begin(), c.unflagged.end());
      }
  }
  EXPECT_TRUE(quantile(unflagged, 0.99) <= std::log(2.5));
}

// Weights of 8 bits alone change so little that second order is all there is: with many probes the whole form
// must be the exact score, to its own noise.
TEST(EstimateSlow, ManyProbesGiveTheExactScoreOfSmallErrors) {
  const TinyRun tiny({"eval-005", "eval-011"});
  for (const Metric metric :
       {kKl, kLogits, Metric{Which::hidden_sse}, Metric{Which::kl, scores::Scope::answer}}) {
    sweep::ScoreOptions options = adjoint({"w8a16"}, metric);
    options.strict = true;
    const auto exact = tiny.score({.formats = options.formats, .strict = true}).run;
    options.probes = 128;
    const auto estimated = tiny.score(options).run;
    std::vector<double> log_ratios;
    for (size_t i = 0; i < exact.scores.size(); ++i) {
      if (!exact.scores[i].total) continue;
      const double truth = exact.scores[i].sum(metric), whole = *estimated.scores[i].estimate("whole_form");
      if (truth == 0) {
        EXPECT_EQ(whole, 0.0);
        continue;
      }
      log_ratios.push_back(std::log(whole / truth));
    }
    std::printf("%s: median log ratio %.3f of %zu\n", name(metric).c_str(), median(log_ratios),
                log_ratios.size());
    EXPECT_GE(log_ratios.size(), 42u);
    EXPECT_TRUE(std::abs(median(log_ratios)) <= 0.06);  // sqrt(2 / 256) = 0.09 for one op
    for (const double ratio : log_ratios) EXPECT_TRUE(std::abs(ratio) <= 0.5);
  }
}

TEST(Estimate, EverySampleHasProbesOfItsOwn) {
  TinyRun tiny({"eval-005"});
  tiny.data.push_back(tiny.data.front());
  sweep::ScoreOptions options = adjoint({"w8a8_dynamic"}, kKl);
  options.ops_glob = "*.layers.2.*";
  for (const ScoreRecord& score : tiny.score(options).run.scores) {
    if (score.status != scores::Status::ok) continue;
    const double a = score.per_sample[0].all.kl, b = score.per_sample[1].all.kl;
    EXPECT_TRUE(std::abs(a - b) > 1e-3 * a);
  }
}

// In forwards' arithmetic, attention included: 1 + 2.5 per probe, 2.2 per format.
TEST(Estimate, CostDoesNotGrowWithTheNumberOfOps) {
  const TinyRun tiny({"eval-000", "eval-005"});
  const auto flops = [](const kernels::Gemm& gemm) {
    double sum = 0;
    for (const auto purpose :
         {kernels::GemmPurpose::reference, kernels::GemmPurpose::deltas, kernels::GemmPurpose::cotangents})
      sum += gemm.count(purpose).flops;
    return sum;
  };
  kernels::Gemm gemm({2});
  const ops::Context context{gemm};
  const sweep::Setting setting{tiny.model, context, tiny.data, tiny.calibration, false, int64_t{4} << 30};
  const auto cost = [&](const std::vector<std::string>& formats, int64_t probes) {
    const sweep::ScoreOptions options = adjoint(formats, kKl);
    auto records = sweep::make_outlook(tiny.model, tiny.data, tiny.calibration, options).records;
    sweep::Estimator estimator(setting, {.metrics = {kKl}, .formats = options.formats, .probes = probes},
                               records);
    estimator.prepare();
    const double before = flops(gemm);
    pass::ReferenceValues none;
    estimator.run(pass::Ranges(tiny.model.ops.size()), none, records, {});
    return flops(gemm) - before;
  };
  // A forward: what calibration costs, and the head.
  const double before = flops(gemm);
  schedule::PhaseLog log;
  const auto plan = sweep::plan_calibration(tiny.model, context, tiny.data, int64_t{4} << 30);
  sweep::calibrate(tiny.model, context, tiny.data, plan, log);
  double tokens = 0;
  for (const models::Sample& s : tiny.data) tokens += static_cast<double>(s.token_ids.size());
  const double forward =
      flops(gemm) - before + 2 * tokens * static_cast<double>(tiny.model.lm_head().weight.elements());
  const double one = cost({"w8a8_dynamic"}, 4), two = cost({"w8a8_dynamic", "fp8_dynamic"}, 4),
               eight = cost({"w8a8_dynamic"}, 8);
  std::printf("in forwards: K = 4, one format %.2f; another format %.2f; per probe %.2f\n", one / forward,
              (two - one) / forward, (eight - one) / forward / 4);
  EXPECT_TRUE(one <= forward * (1 + 2.5 * 4 + 2.2));
  EXPECT_TRUE(two - one <= 2.2 * forward);
  EXPECT_TRUE(eight - one <= 2.5 * 4 * forward);
}

TEST(Estimate, MethodsMeasureWhatTheySay) {
  const TinyRun tiny({"eval-000", "eval-005"});
  for (const Method method : {Method::fisher, Method::hawq, Method::local}) {
    sweep::ScoreOptions options{.formats = testing::formats({"w8a8", "nvfp4"}), .method = method};
    const auto run = tiny.score(options).run;
    for (const ScoreRecord& score : run.scores) {
      EXPECT_EQ(score.method, method);
      EXPECT_EQ(score.has(kKl), method != Method::local);
      EXPECT_FALSE(score.has(kLogits));
      EXPECT_TRUE(score.rank.has_value());
      ASSERT_TRUE(score.local.has_value());
      EXPECT_TRUE(score.local->relative_error() > 0 && score.local->relative_error() < 1);
    }
    for (const scores::Baseline& baseline : run.baselines) EXPECT_TRUE(baseline.has(kLogits));
  }
}

TEST(Estimate, AutoMeasuresTheFlaggedAndTheLargestExactly) {
  const TinyRun tiny({"eval-000", "eval-005"});
  sweep::ScoreOptions options = adjoint({"w8a8_dynamic", "nvfp4"}, kKl);
  options.method = Method::automatic;
  const auto run = tiny.score(options).run;
  int64_t exact = 0, first = 0;
  for (const ScoreRecord& score : run.scores) {
    exact += score.method == Method::exact;
    if (score.rank == 1) first += score.method == Method::exact;
    EXPECT_EQ(score.flags, score.method == Method::exact ? std::vector<std::string>{}
                                                         : std::vector<std::string>{"approximate"});
  }
  EXPECT_EQ(first, 2);
  EXPECT_GE(exact, 2 * 19);
  EXPECT_LT(exact, 2 * 76);
}

}  // namespace
}  // namespace qsweep
