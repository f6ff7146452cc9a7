// Where a run's results come from: model, data, machine, time.
#pragma once

#include <chrono>

#include "cli/session.h"
#include "sweep/variant_run.h"

namespace qsweep::cli {

using Clock = std::chrono::steady_clock;

class Provenance {
 public:
  // At the end of loading, which began at `start`.
  Provenance(const Engine& engine, const EngineFlags& flags, Clock::time_point start);

  scores::ModelInfo model() const;
  void complete(scores::DataInfo& data) const;  // name and hash of the file
  // At the end of the run. rate: of products of the model's shapes on this machine, FLOP/s.
  io::Json json(const sweep::RunReport& report, int64_t planned_bytes, double rate) const;

 private:
  const Engine& engine_;
  const EngineFlags& flags_;
  Clock::time_point start_;
  std::string data_sha256_;
  double load_s_;
};

// The machine's rate on the model's products, with the rows that a sweep of so many variants typically has.
double measured_rate(const Engine& engine, bool strict, size_t variants);

}  // namespace qsweep::cli
