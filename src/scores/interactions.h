// How the errors of scores align: what the error of several ops quantized at once has beyond their sum.
//
// A metric that is quadratic in the change of the output (the squared errors; KL to second order) is an inner
// product <d, d> over positions. Where changes d_i add up, x quantized together have the error
//
//   predicted(x) = sum_i S_i + sum_{i != j} C_ij,  C_ij = <d_i, d_j>,
//
// in which the second sum counts every pair twice. S_i are the scores themselves.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "scores/run.h"

namespace qsweep::scores {

// Inner products between scores of a run, as sums over the positions of the metric that they were made for.
class Interactions {
 public:
  // scores: parts (run.h), ascending. products: [n, n], symmetric; its diagonal, the scores to
  // second order, is not used.
  Interactions(std::vector<size_t> scores, std::vector<double> products);

  std::span<const size_t> scores() const { return scores_; }
  bool has(size_t score) const { return place(score).has_value(); }
  // C_ij of two scores that are there.
  double between(size_t i, size_t j) const;
  // sum_{i != j} C_ij over scores that are there.
  double pairs(std::span<const size_t> chosen) const;
  // The formula above for scores that are there; `metric` is that of the products.
  double predicted(const Run& run, std::span<const size_t> chosen, Metric metric) const;

 private:
  std::optional<size_t> place(size_t score) const;

  std::vector<size_t> scores_;
  std::vector<double> products_;
};

// Of the errors by one metric.
struct MetricInteractions {
  Metric metric;
  Interactions interactions;
};

}  // namespace qsweep::scores
