// Where a run's results come from: model, data, machine, time.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "cli/session.h"
#include "cli/tracing.h"
#include "sweep/rate.h"

namespace qsweep::cli {

using Clock = std::chrono::steady_clock;

scores::ModelInfo model_info(const models::Model& model, const std::string& folder);
// Error where the scores, of this folder, are those of another model than `model`; `flag` gave it.
void expect_scores_of(const scores::Run& scored, const scores::ModelInfo& model, const std::string& flag,
                      const std::string& folder);

class Provenance {
 public:
  // At the end of loading, which began at `start`. From then on the recorder goes by the first GPU's clock,
  // if one computes.
  Provenance(const Engine& engine, const EngineFlags& flags, trace::Recorder& recorder,
             Clock::time_point start);
  ~Provenance();
  Provenance(const Provenance&) = delete;
  Provenance& operator=(const Provenance&) = delete;

  scores::ModelInfo model() const;
  void complete(scores::DataInfo& data) const;  // name and hash of the file
  // Before the run: the machine's rate on the products that it will do most.
  std::span<const sweep::MeasuredProduct> measure_rates(const std::vector<schedule::ProductShape>& products,
                                                        const schedule::MemoryPlan& plan);
  // At the end of the run.
  io::Json json(const sweep::RunReport& report, int64_t planned_bytes) const;

 private:
  const Engine& engine_;
  const EngineFlags& flags_;
  trace::Recorder& recorder_;
  std::unique_ptr<trace::DeviceClock> clock_;  // of the first GPU; null: the CPU computes
  Clock::time_point start_;
  std::string data_sha256_;
  std::vector<sweep::MeasuredProduct> rates_;
};

}  // namespace qsweep::cli
