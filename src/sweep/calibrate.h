// Calibration: the range of every op's input over the calibration data, on the reference.
#pragma once

#include <optional>
#include <vector>

#include "sweep/plan.h"

namespace qsweep::sweep {

// Per op; empty where no row of the data reached it.
using Ranges = std::vector<std::optional<quant::InputRange>>;

// One pass of the reference over all samples, cut as the memory demands.
Ranges calibrate(const PlanInput& input, int64_t budget_bytes);

}  // namespace qsweep::sweep
