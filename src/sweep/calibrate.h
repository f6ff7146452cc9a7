// Calibration: the range of every op's input over the calibration data, on the reference.
#pragma once

#include "sweep/phase_log.h"

namespace qsweep::sweep {

// Makes an op's range hold another.
void widen(Ranges& ranges, int op, float min, float max);

// One pass of the reference over all samples, cut as the memory demands.
Ranges calibrate(const models::Model& model, const ops::Context& ops,
                 const std::vector<models::Sample>& samples, int64_t budget_bytes, PhaseLog& log);

}  // namespace qsweep::sweep
