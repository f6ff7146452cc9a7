// Score runs of the tiny model.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "pass/tiny.h"
#include "scores/run.h"
#include "scores/schema.h"
#include "sweep/score.h"

namespace qsweep::testing {

inline constexpr scores::Metric kKl{};
inline constexpr scores::Metric kLogits{scores::Which::logits_sse};

// Whether the tests that take minutes are to take all they can.
inline bool full() { return std::getenv("QSWEEP_FULL") != nullptr; }

// What scores.json would hold.
inline std::string scores_text(const scores::Run& run) { return scores::to_text(scores::to_json(run)); }

struct TinyRun : Tiny {
  explicit TinyRun(const std::vector<std::string>& ids) : Tiny(ids) {}
  // Another model, without calibration data.
  TinyRun(models::Model other, std::vector<models::Sample> samples)
      : Tiny(std::move(other), std::move(samples)) {}

  struct Result {
    scores::Run run;
    sweep::RunReport report;
    std::optional<scores::Sketches> sketches;
  };
  Result score(sweep::ScoreOptions options, int threads = 2,
               kernels::LowPrecision bf16 = kernels::LowPrecision::where_native) const {
    return score_on(Threads{threads}, std::move(options), bf16);
  }
  Result score_on(kernels::Device device, sweep::ScoreOptions options,
                  kernels::LowPrecision bf16 = kernels::LowPrecision::where_native) const {
    kernels::Gemm gemm(device, bf16);
    const ops::Context context{gemm};
    return score_on(context, std::move(options));
  }
  Result score_on(const schedule::Devices& devices, sweep::ScoreOptions options) const {
    if (options.memory_bytes == 0) options.memory_bytes = int64_t{4} << 30;
    sweep::Sweep sweep(model, devices, data, calibration, options);
    sweep.prepare();
    Result result;
    result.run = sweep.run({});
    result.report = sweep.report();
    result.sketches = sweep.sketches();
    return result;
  }
};

// The six samples of the oracle's score files.
inline const std::vector<std::string> kOracleSamples = {"eval-000", "eval-002", "eval-004",
                                                        "eval-005", "eval-011", "eval-013"};

}  // namespace qsweep::testing
