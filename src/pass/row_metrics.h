// From the sums of one row's logits to its metrics.
#pragma once

#include "kernels/rows.h"
#include "scores/metric.h"

namespace qsweep::pass {

// target: the true next token, or -1.
scores::MetricSums row_metrics(const kernels::LogitsSums& sums, double hidden_sse, int32_t target,
                               int64_t reference_argmax);

}  // namespace qsweep::pass
