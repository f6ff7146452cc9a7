// Calibration: the range of every op's input over the calibration data, on the reference.
#pragma once

#include "schedule/devices.h"
#include "schedule/phase_log.h"

namespace qsweep::sweep {

// Makes one of the ranges hold another.
void widen(pass::Ranges& ranges, int which, float min, float max);

// Passes of the reference over all samples, as many as memory and devices demand. base_bytes: as in
// PlanProblem.
schedule::MemoryPlan plan_calibration(const models::Model& model, const schedule::Devices& devices,
                                      const std::vector<models::Sample>& samples, int64_t budget_bytes,
                                      std::optional<int64_t> base_bytes = {});

pass::Ranges calibrate(const models::Model& model, const schedule::Devices& devices,
                       const std::vector<models::Sample>& samples, const schedule::MemoryPlan& plan,
                       schedule::PhaseLog& log);

}  // namespace qsweep::sweep
