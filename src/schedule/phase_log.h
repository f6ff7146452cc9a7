// What a run leaves in its journal, so that after a kill another process goes on and finds the same, bit for
// bit: the plan of each phase, and of each of its passes what the sinks were told. A long pass also leaves
// its state between stages.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "io/journal.h"
#include "kernels/gemm.h"
#include "pass/pass.h"
#include "schedule/plan.h"
#include "schedule/told.h"

namespace qsweep::schedule {

// Where a run keeps what it has finished.
struct Keeping {
  io::Journal* journal = nullptr;  // null: nowhere
  double boundary_s = 20;          // the least time between two states of a pass
};

// What some passes took.
struct Cost {
  double seconds = 0;
  std::array<kernels::GemmCount, kernels::kGemmPurposes> products = {};  // by purpose

  void add(const Cost& other);
  kernels::GemmCount of(kernels::GemmPurpose purpose) const { return products[static_cast<size_t>(purpose)]; }
};

// Devices may run their passes at once.
class PhaseLog {
 public:
  PhaseLog() = default;  // keeps nothing
  PhaseLog(const Keeping& keeping, std::string phase) : keeping_(keeping), phase_(std::move(phase)) {}

  // The plan of an earlier process; else the one that make() gives, which is kept.
  MemoryPlan plan(const std::function<MemoryPlan()>& make);
  void keep(const MemoryPlan& plan);

  // Runs a pass of the plan on a device. Where an earlier process has finished it, tells the sinks what they
  // were told then instead, and stage_done once.
  template <class Sinks, class Body>  // PassReport body(const Sinks&, const Boundaries&)
  void run(size_t pass, size_t device, const kernels::Gemm& gemm, const Sinks& sinks, Body&& body) {
    if (keeping_.journal == nullptr) return static_cast<void>(body(sinks, pass::Boundaries{}));
    Pass at{.key = phase_ + "/" + std::to_string(pass), .device = device, .gemm = gemm, .begin = now(gemm)};
    if (const std::optional<double> flops = finished(at)) {
      tell(io::ByteReader(at.told), sinks);
      if constexpr (requires { sinks.stage_done; })
        if (sinks.stage_done) sinks.stage_done("", *flops);
      return;
    }
    const pass::Boundaries boundaries = boundaries_of(at, [&] { tell(io::ByteReader(at.told), sinks); });
    finish(at, body(noting(sinks, at.told), boundaries).flops);
  }

  // Of the passes so far, what processes before this one took; the seconds are those of the device that took
  // longest.
  Cost earlier() const;

 private:
  struct Pass {
    std::string key;
    size_t device;
    const kernels::Gemm& gemm;
    Cost begin;                          // the clocks when this process began it
    Cost earlier;                        // by processes before
    io::ByteBuffer told;                 // kind and arguments of all calls so far
    double last_s = 0, last_took_s = 0;  // when the last state was written, and how long that took
  };

  static Cost now(const kernels::Gemm& gemm);
  static Cost cost_of(const Pass& pass);
  std::optional<double> finished(Pass& pass);
  void finish(const Pass& pass, double flops);
  pass::Boundaries boundaries_of(Pass& pass, std::function<void()> tell_again);
  size_t restore(Pass& pass, graph::Variants& variants);
  void reached(Pass& pass, size_t stages, const graph::Variants& variants);

  Keeping keeping_;
  std::string phase_;
  std::map<size_t, Cost> earlier_;                                      // by device
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();  // of earlier_ and the journal
};

}  // namespace qsweep::schedule
