#include "scores/interactions.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

namespace qsweep::scores {

Interactions::Interactions(std::vector<size_t> scores, std::vector<double> products)
    : scores_(std::move(scores)), products_(std::move(products)) {
  const size_t n = scores_.size();
  QSWEEP_CHECK(products_.size() == n * n, "{} products of {} scores", products_.size(), n);
  QSWEEP_CHECK(std::ranges::adjacent_find(scores_, std::greater_equal<>()) == scores_.end(),
               "scores must ascend");
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j)
      QSWEEP_CHECK(std::isfinite(products_[i * n + j]) && products_[i * n + j] == products_[j * n + i],
                   "products of scores {} and {}: {} and {}", scores_[i], scores_[j], products_[i * n + j],
                   products_[j * n + i]);
}

std::optional<size_t> Interactions::place(size_t score) const {
  const auto found = std::ranges::lower_bound(scores_, score);
  if (found == scores_.end() || *found != score) return std::nullopt;
  return static_cast<size_t>(found - scores_.begin());
}

double Interactions::between(size_t i, size_t j) const {
  const auto a = place(i), b = place(j);
  QSWEEP_CHECK(a && b, "no products of scores {} and {}", i, j);
  return products_[*a * scores_.size() + *b];
}

double Interactions::pairs(std::span<const size_t> chosen) const {
  double once = 0;
  for (size_t i = 0; i < chosen.size(); ++i)
    for (size_t j = 0; j < i; ++j) once += between(chosen[i], chosen[j]);
  return 2 * once;
}

double Interactions::predicted(const Run& run, std::span<const size_t> chosen, Metric metric) const {
  double sum = 0;
  for (const size_t i : chosen) sum += part(run, i).sum(metric);
  return sum + pairs(chosen);
}

}  // namespace qsweep::scores
