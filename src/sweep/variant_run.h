// Measures any set of variants: plans the passes, calibrates where a format needs it, and runs them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "schedule/phase_log.h"
#include "sweep/setting.h"

namespace qsweep::sweep {

class VariantRun {
 public:
  // variants: carried ones first, leaves in the order of their forks; they must outlive the run. live: those
  // that are measured, ascending. ranges: of an earlier run; without them it calibrates
  // where a format needs it.
  VariantRun(const Setting& setting, std::span<const pass::Variant> variants,
             std::vector<pass::VariantId> live, std::optional<pass::Ranges> ranges = {});

  // Keeps what is finished in a journal, and goes on from what it holds already, the plan included where it
  // comes before prepare().
  void keep(const schedule::Keeping& keeping, const std::string& phase);
  // Before prepare(): a pass that has all samples and variants leaves the reference's values, if they fit;
  // not with several devices.
  void leave_reference() { leaves_reference_ = true; }
  // The memory plan; nothing is computed yet. base_bytes: what is held besides passes
  // (schedule::base_bytes_of); what the process holds now where not given.
  void prepare(std::optional<int64_t> base_bytes = {});
  const std::vector<pass::VariantId>& live() const { return live_; }

  struct Sinks {
    // Once or more per (variant, sample of the data that it can change).
    std::function<void(pass::VariantId, int sample, const scores::ScopedSums&)> metrics;
    std::function<void(pass::VariantId, const scores::LocalStats&)> local;
    std::function<void(pass::VariantId, int64_t rows)> flips = {};
    // See pass::PassSinks; only where the setting asks for sketches.
    std::function<void(pass::VariantId, int sample, const std::vector<float>&)> sketch = {};
  };
  void run(const Sinks& sinks, const ProgressObserver& progress);

  const RunReport& report() const { return report_; }
  RunReport& report() { return report_; }                 // to add what else a run does
  const pass::Ranges& ranges() const { return ranges_; }  // after run()
  // Whether the pass leaves the reference's values, and where: after run() of the process that has begun it.
  bool reference_is_left() const;
  pass::ReferenceValues& reference() { return reference_; }

 private:
  // Whether some format needs ranges, and they are not there yet.
  bool wants_ranges() const;
  bool first_pass_calibrates() const;
  bool first_pass_has_all_samples() const;
  schedule::MemoryPlan plan(std::optional<int64_t> base_bytes) const;
  int64_t told_bytes(const schedule::Chunk& chunk) const;
  int64_t sketch_bytes(const schedule::Chunk& chunk) const;  // of these
  pass::PassInput pass_input(const schedule::Chunk& chunk, const ops::Context& ops) const;
  pass::PassSinks pass_sinks(const schedule::Chunk& chunk, const Sinks& sinks,
                             std::function<void(const std::string&, double)> stage_done);

  Setting setting_;
  std::span<const pass::Variant> variants_;
  std::vector<pass::VariantId> live_;
  schedule::PhaseLog calibration_log_, log_;
  bool has_ranges_, leaves_reference_ = false;
  pass::Ranges ranges_;  // empty ones before calibration
  pass::ReferenceValues reference_;
  RunReport report_;
};

}  // namespace qsweep::sweep
