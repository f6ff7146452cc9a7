// Calibration: the range of every op's input over the calibration data, on the reference.
#pragma once

#include "sweep/devices.h"
#include "sweep/phase_log.h"

namespace qsweep::sweep {

// Makes an op's range hold another.
void widen(Ranges& ranges, int op, float min, float max);

// The reference over all samples, in as many passes as memory and devices demand. base_bytes: as in
// PlanProblem.
Ranges calibrate(const models::Model& model, const Devices& devices,
                 const std::vector<models::Sample>& samples, int64_t budget_bytes, PhaseLog& log,
                 std::optional<int64_t> base_bytes = {});

}  // namespace qsweep::sweep
