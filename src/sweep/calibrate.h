// Calibration: the range of every op's input over the calibration data, on the reference.
#pragma once

#include "sweep/devices.h"
#include "sweep/phase_log.h"

namespace qsweep::sweep {

// Makes an op's range hold another.
void widen(Ranges& ranges, int op, float min, float max);

// Passes of the reference over all samples, as many as memory and devices demand. base_bytes: as in
// PlanProblem.
MemoryPlan plan_calibration(const models::Model& model, const Devices& devices,
                            const std::vector<models::Sample>& samples, int64_t budget_bytes,
                            std::optional<int64_t> base_bytes = {});

Ranges calibrate(const models::Model& model, const Devices& devices,
                 const std::vector<models::Sample>& samples, const MemoryPlan& plan, PhaseLog& log);

}  // namespace qsweep::sweep
