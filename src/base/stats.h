// Order statistics, rank correlations and Student's t, all in f64.
#pragma once

#include <span>
#include <vector>

namespace qsweep {

// The q-quantile, 0 <= q <= 1, interpolated linearly between order statistics (Hyndman and Fan 1996, type 7).
// `values` must not be empty and holds no NaN.
double quantile(std::span<const double> values, double q);
inline double median(std::span<const double> values) { return quantile(values, 0.5); }

// Ranks from 1; tied values share the average of their ranks. No NaN in `values`.
std::vector<double> average_ranks(std::span<const double> values);

// Spearman's rank correlation with average ranks for ties. NaN where it is not defined: fewer than two pairs,
// or one side constant. x and y have equal length and hold no NaN.
double spearman(std::span<const double> x, std::span<const double> y);

// Kendall's tau-b (tie-corrected), O(n^2). NaN where it is not defined, as for spearman.
double kendall_tau_b(std::span<const double> x, std::span<const double> y);

// The value below which a Student t variable with `dof` > 0 degrees of freedom lies with probability p, 0 < p
// < 1.
double student_t_quantile(double p, double dof);

}  // namespace qsweep
