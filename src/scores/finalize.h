// Turns the sums of a run into its results.
#pragma once

#include <cstdint>

#include "scores/record.h"

namespace qsweep::scores {

inline constexpr int kReliabilitySplits = 100;

// From Run::scores (op, format, mode, method, status, per_sample, local, spread_from) and Run::baselines
// computes
//   - totals over the samples, in data order;
//   - status non_finite, without metrics, where a sum is not finite; local statistics that are not finite are
//   dropped
//     with the flag local_non_finite;
//   - 95 % intervals (interval.h) per (format, mode, method); a baseline stands alone;
//   - spread scores: the representative's metrics, or its status where it carries none;
//   - the flag approximate on every score whose method is not exact;
//   - ranks per (format, mode, method) by the sum of `ranking`: 1 is the most sensitive op, that is the
//   largest sum,
//     in leave-one-out the smallest; equal sums in op order;
//   - reliability per (format, mode, method): mean Spearman correlation of the ranking between random halves
//   of the
//     samples over kReliabilitySplits splits drawn from `seed`; only with two or more samples and three or
//     more ok ops. Splits where a half gives every op the same value say nothing and are left out.
// Also records the metric in settings["metric"]. The same run and seed give the same results.
void finalize(Run& run, Metric ranking, uint64_t seed);

}  // namespace qsweep::scores
