// Where a run's results come from: model, data, machine, time.
#pragma once

#include <chrono>
#include <string>

#include "cli/session.h"
#include "cli/tracing.h"
#include "sweep/variant_run.h"

namespace qsweep::cli {

using Clock = std::chrono::steady_clock;

class Provenance {
 public:
  // At the end of loading, which began at `start`.
  Provenance(const Engine& engine, const EngineFlags& flags, const trace::Recorder& recorder,
             Clock::time_point start);

  scores::ModelInfo model() const;
  void complete(scores::DataInfo& data) const;  // name and hash of the file
  // Before the run: the machine's rate on the model's products, with the rows that a sweep of so many
  // variants typically has.
  void measure_rate(bool strict, size_t variants);
  // At the end of the run.
  io::Json json(const sweep::RunReport& report, int64_t planned_bytes) const;

 private:
  const Engine& engine_;
  const EngineFlags& flags_;
  const trace::Recorder& recorder_;
  Clock::time_point start_;
  std::string data_sha256_;
  double rate_ = 0;  // FLOP/s
};

}  // namespace qsweep::cli
