// Turns the sums of a run into its results.
#pragma once

#include <cstdint>
#include <string_view>

#include "scores/run.h"

namespace qsweep::scores {

inline constexpr int kReliabilitySplits = 100;

// The estimate that widens the ranking metric's interval (ScoreRecord::estimates).
inline constexpr std::string_view kRelativeStandardError = "relative_standard_error";

// Total and intervals of a variant that is judged by itself; no total where a measured sum is not finite.
void finalize(Measurement& alone);

// From Run::scores (op, format, mode, method, status, per_sample, measured, local, estimates, spread_from),
// Run::baselines and Run::joint_ranking computes
//   - totals over the samples, in data order;
//   - status non_finite, without metrics, where a measured sum is not finite; estimates that are not finite
//     are dropped, and local statistics are with the flag local_non_finite;
//   - 95 % intervals (interval.h) per (format, mode, method); a baseline stands alone;
//   - the same totals, statuses and intervals of Run::groups, those of a format judged together;
//   - spread scores: the representative's method, metrics, intervals, flags and estimates, or its status
//   where
//     it carries no metrics;
//   - the flag approximate on every score whose method is not exact;
//   - ranks per (format, mode, method), in a joint ranking per (format, mode), by `ranking_value`: 1 is the
//     most sensitive op, that is the largest value, in leave-one-out the smallest; equal ones in op order;
//     none without a value;
//   - reliability of the ranking metric for the same groups: mean Spearman correlation of the ranking between
//     random halves of the samples over kReliabilitySplits splits drawn from `seed`; only with two or more
//     samples and three or more ok ops. Splits where a half gives every op the same value say nothing and are
//     left out. The same by the other scope of the ranking metric.
// Also records the metric in settings["metric"]. The same run and seed give the same results.
void finalize(Run& run, Metric ranking, uint64_t seed);

// Ranks the scores of a finalized run, read from a file too, by another metric. The reliability stays where
// it is known by that metric. Error where no score has the metric, or where no position counts in its scope.
void rank_by(Run& run, Metric ranking);

}  // namespace qsweep::scores
