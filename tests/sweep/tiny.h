// The trained tiny model with its data, as the sweep tests use them.
#pragma once

#include <string>
#include <vector>

#include "models/model.h"
#include "scores/run.h"
#include "support/testdata.h"
#include "sweep/score.h"

namespace qsweep::testing {

inline const std::string kData = testdata_folder();

inline std::vector<models::Sample> prepare(const models::Model& model, const std::string& file,
                                           const std::vector<std::string>& ids = {}) {
  std::vector<models::Sample> samples;
  for (const text::Sample& data : text::read_dataset(kData + "/data/" + file))
    if (ids.empty() || std::find(ids.begin(), ids.end(), data.id) != ids.end())
      samples.push_back(model.inputs->prepare(data));
  return samples;
}

inline std::vector<const quant::Format*> formats(const std::vector<std::string>& names) {
  std::vector<const quant::Format*> found;
  for (const std::string& name : names) found.push_back(&quant::find_format(name));
  return found;
}

struct TinyRun {
  models::Model model = models::load(kData + "/tiny-qwen2.5-vl");
  std::vector<models::Sample> calibration = prepare(model, "calib.jsonl");
  std::vector<models::Sample> data;

  explicit TinyRun(const std::vector<std::string>& ids) : data(prepare(model, "eval.jsonl", ids)) {}

  struct Result {
    scores::Run run;
    sweep::RunReport report;
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
  Result score_on(const sweep::Devices& devices, sweep::ScoreOptions options) const {
    if (options.memory_bytes == 0) options.memory_bytes = int64_t{4} << 30;
    sweep::Sweep sweep(model, devices, data, calibration, options);
    sweep.prepare();
    Result result;
    result.run = sweep.run({});
    result.report = sweep.report();
    return result;
  }
};

// So many devices that are threads of the CPU.
class Cpus {
 public:
  explicit Cpus(size_t count, int threads = 1) {
    std::vector<ops::Context> contexts;
    for (size_t i = 0; i < count; ++i)
      contexts.push_back({*gemms_.emplace_back(std::make_unique<kernels::Gemm>(Threads{threads}))});
    devices_.emplace(std::move(contexts));
  }
  const sweep::Devices& operator*() const { return *devices_; }

 private:
  std::vector<std::unique_ptr<kernels::Gemm>> gemms_;
  std::optional<sweep::Devices> devices_;
};

// The six samples of the oracle's score files.
inline const std::vector<std::string> kOracleSamples = {"eval-000", "eval-002", "eval-004",
                                                        "eval-005", "eval-011", "eval-013"};

}  // namespace qsweep::testing
