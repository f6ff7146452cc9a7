// Isolated scores against the brute-force oracle: the whole model run once per quantized op.
#include <map>

#include <gtest/gtest.h>

#include "base/stats.h"
#include "io/json.h"
#include "sweep/tiny.h"

namespace qsweep {
namespace {

using testing::TinyRun;

struct Agreement {
  std::vector<double> errors, ours, oracle;
};

// Of one metric and scope over all ops; `name` is the oracle's field.
Agreement compare(const scores::Run& run, const std::string& format, const io::Json& ops, scores::Which which,
                  scores::Scope scope) {
  Agreement a;
  for (const scores::ScoreRecord& score : run.scores) {
    if (score.format != format) continue;
    EXPECT_EQ(score.status, scores::Status::ok) << run.ops[static_cast<size_t>(score.op)].name;
    if (!score.total) continue;
    const io::Json& expected =
        ops.at(run.ops[static_cast<size_t>(score.op)].name).at(std::string(name(scope)));
    const double truth = expected.at(std::string(name(which))).get<double>();
    const double value = sum(score.total->of(scope), which);
    a.ours.push_back(value);
    a.oracle.push_back(truth);
    if (truth == 0) {
      EXPECT_EQ(value, 0.0);
    } else {
      a.errors.push_back(std::abs(value - truth) / truth);
    }
  }
  return a;
}

void expect_agreement(const scores::Run& run, const std::string& format, const std::string& file) {
  const io::Json json = io::read_json_file(testing::kData + "/scores/" + file);
  using scores::Scope;
  using scores::Which;
  for (const Scope scope : {Scope::all, Scope::answer}) {
    for (const Which which : {Which::hidden_sse, Which::logits_sse, Which::kl}) {
      const Agreement a = compare(run, format, json.at("ops"), which, scope);
      const double middle = median(a.errors), p90 = quantile(a.errors, 0.9), worst = quantile(a.errors, 1.0);
      const double rho = spearman(a.ours, a.oracle);
      std::printf("%s %s %s: median %.2g, 90%% %.2g, worst %.2g, spearman %.5f\n", format.c_str(),
                  std::string(name(scope)).c_str(), std::string(name(which)).c_str(), middle, p90, worst,
                  rho);
      if (scope == Scope::all) {
        EXPECT_TRUE(middle <= 3e-4);
        EXPECT_TRUE(p90 <= 1e-2);
      }
      EXPECT_TRUE(worst <= (scope == Scope::all ? 0.1 : 0.5));
      EXPECT_TRUE(rho >= (scope == Scope::all ? 0.9995 : 0.998));
    }
  }
}

TEST(Oracle, StrictIsolatedScoresAgreeForOneAndTwoThreads) {
  const TinyRun tiny(testing::kOracleSamples);
  for (const int threads : {1, 2}) {
    const auto [run, report] =
        tiny.score({.formats = testing::formats({"w8a8", "w8a8_dynamic"}), .strict = true}, threads);
    EXPECT_EQ(run.scores.size(), 152u);
    expect_agreement(run, "w8a8", "isolated-int8.json");
    expect_agreement(run, "w8a8_dynamic", "isolated-int8_dyn.json");
    for (const scores::ScoreRecord& score : run.scores) {
      if (run.ops[static_cast<size_t>(score.op)].name != "lm_head") continue;
      EXPECT_EQ(score.total->all.hidden_sse, 0.0);
    }
  }
}

}  // namespace
}  // namespace qsweep
