// What a run works with, what it reports of itself, and how it tells of its progress.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schedule/devices.h"
#include "schedule/plan.h"

namespace qsweep::sweep {

// What a model, its data and the machine give to a run. Everything must outlive the run.
struct Setting {
  const models::Model& model;
  schedule::Devices devices;
  const std::vector<models::Sample>& data;
  const std::vector<models::Sample>& calibration;
  bool strict = false;                // deltas in f32 instead of bf16
  int64_t memory_bytes = 0;           // of each device
  bool squared_errors_alone = false;  // see pass::PassInput
  pass::SketchSetting sketch = {};

  DType delta_dtype() const { return strict ? DType::f32 : DType::bf16; }
  // Of a pass over some of the data.
  pass::PassSetting of_pass(const schedule::Chunk& chunk, const ops::Context& ops,
                            const pass::Ranges& ranges) const;
};

struct Progress {
  std::string what;       // the stage that was finished; empty: what an earlier process has done
  double done_flops = 0;  // of products, the reference's excepted
  double total_flops = 0;
  double earlier_flops = 0;  // of the done ones, by an earlier process

  void add(const std::string& stage, double flops);
};
using ProgressObserver = std::function<void(const Progress&)>;

struct RunReport {
  std::map<std::string, double> phases_s;
  std::map<std::string, double> earlier_s;  // of these, by processes before this one
  schedule::MemoryPlan plan;
  std::optional<schedule::MemoryPlan> calibration;  // of passes of its own, where there are some
  kernels::GemmCount reference, deltas;             // of the sweep phase
  kernels::GemmCount estimates;                     // all products of the estimate phase

  void add_earlier(const std::string& phase, double seconds);
  double all_earlier_s() const;
  int64_t planned_bytes() const;  // of all its passes
  // What a later part of the same run took; the plan is the one with the higher peak.
  void add(const RunReport& later);

  // Adds the time that body takes to a phase.
  void timed(const std::string& phase, const std::function<void()>& body);
};

double now_s();  // of a clock that never goes back

}  // namespace qsweep::sweep
