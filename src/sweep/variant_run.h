// Measures any set of variants: plans the passes, calibrates where a format needs it, and runs them.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/trace.h"
#include "schedule/devices.h"
#include "schedule/plan.h"
#include "sweep/calibrate.h"

namespace qsweep::sweep {

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
};

// What a model, its data and the machine give to a run. Everything must outlive the run.
struct Setting {
  const models::Model& model;
  schedule::Devices devices;
  const std::vector<models::Sample>& data;
  const std::vector<models::Sample>& calibration;
  bool strict = false;                // deltas in f32 instead of bf16
  int64_t memory_bytes = 0;           // of each device
  bool squared_errors_alone = false;  // see PassInput

  DType delta_dtype() const { return strict ? DType::f32 : DType::bf16; }
};

class VariantRun {
 public:
  // Carried variants first, leaves in the order of their forks. ranges: of an earlier run; without them it
  // calibrates where a format needs it.
  VariantRun(const Setting& setting, std::vector<pass::Variant> variants,
             std::optional<pass::Ranges> ranges = {});

  // Keeps what is finished in a journal, and goes on from what it holds already, the plan included where it
  // comes before prepare().
  void keep(const schedule::Keeping& keeping, const std::string& phase);
  // Before prepare(): a pass that has all samples and variants leaves the reference's values, if they fit;
  // not with several devices.
  void leave_reference() { leaves_reference_ = true; }
  // The memory plan; nothing is computed yet. base_bytes: what is held besides passes
  // (schedule::base_bytes_of); what the process holds now where not given.
  void prepare(std::optional<int64_t> base_bytes = {});
  const std::vector<pass::Variant>& variants() const { return variants_; }

  struct Sinks {
    // Once or more per (variant, sample of the data that it can change).
    std::function<void(int variant, int sample, const scores::ScopedSums&)> metrics;
    std::function<void(int variant, const scores::LocalStats&)> local;
  };
  void run(const Sinks& sinks, const ProgressObserver& progress);

  const RunReport& report() const { return report_; }
  RunReport& report() { return report_; }                 // to add what else a run does
  const pass::Ranges& ranges() const { return ranges_; }  // after run()
  // Whether the pass leaves the reference's values, and where: after run() of the process that has begun it.
  bool reference_is_left() const;
  pass::ReferenceValues& reference() { return reference_; }

  // Adds the time that body takes to a phase.
  template <class Body>
  void timed(const std::string& phase, Body&& body) {
    const trace::Span span(trace::kPhase, phase);
    const Stopwatch watch(report_.phases_s[phase]);
    body();
  }

 private:
  // Whether some format needs ranges, and they are not there yet.
  bool wants_ranges() const;
  bool first_pass_calibrates() const;
  bool first_pass_has_all_samples() const;
  int64_t told_bytes(const schedule::Chunk& chunk) const;

  struct Stopwatch {
    explicit Stopwatch(double& seconds);
    ~Stopwatch();
    double& seconds;
    double start;
  };
  pass::PassInput pass_input(const schedule::Chunk& chunk, const ops::Context& ops) const {
    return {.model = setting_.model,
            .ops = ops,
            .delta_dtype = setting_.delta_dtype(),
            .samples = schedule::samples_of(setting_.data, chunk.samples),
            .variants = variants_,
            .live = chunk.variants,
            .ranges = ranges_,
            .squared_errors_alone = setting_.squared_errors_alone};
  }

  Setting setting_;
  std::vector<pass::Variant> variants_;
  schedule::PhaseLog calibration_log_, log_;
  bool has_ranges_, leaves_reference_ = false;
  pass::Ranges ranges_;  // empty ones before calibration
  pass::ReferenceValues reference_;
  RunReport report_;
};

// The records of a model's ops, and the counts of some data.
std::vector<scores::OpRecord> op_records(const models::Model& model);
scores::DataInfo data_counts(const std::vector<models::Sample>& data);
// Zero errors with their counts, for every sample: what stands where nothing is measured.
std::vector<scores::ScopedSums> unchanged(const models::Model& model,
                                          const std::vector<models::Sample>& data);

}  // namespace qsweep::sweep
