#include "choose/refit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "choose/relaxation.h"

namespace qsweep::choose {
namespace {

constexpr double kRidge = 0.3, kRidgeOfKappa = 1e-3, kLeastFactor = 0.05;

// A measured recipe in units of its error.
struct Row {
  const Selection* selection;
  double sum;      // sum S / y, which kappa multiplies
  double missing;  // 1 - (sum S + pairs) / y: what factors of 1 leave unexplained
  double error;    // y, a sum over the problem's positions
};

// S_i / y of what the row's recipe takes in the decision.
double share(const Problem& problem, const Row& row, size_t decision) {
  const auto choice = static_cast<size_t>((*row.selection)[decision]);
  return problem.decisions()[decision].choices[choice].error / row.error;
}

std::vector<Row> rows_of(const Problem& problem, const Measurements& measured) {
  std::vector<Row> rows;
  for (size_t i = 0; i < measured.recipes.size(); ++i) {
    const Selection& selection = measured.recipes[i].selection;
    const double error = measured.per_position(i) * static_cast<double>(problem.positions());
    if (!std::isfinite(error) || error <= 0) continue;
    rows.push_back({&selection, problem.sum(selection) / error,
                    1 - (problem.sum(selection) + problem.pairs(selection)) / error, error});
  }
  return rows;
}

// Solves the symmetric positive definite A w = b by Cholesky's factors. A: [n, n], overwritten.
std::vector<double> solve_definite(std::vector<double> a, std::vector<double> b) {
  const size_t n = b.size();
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j) {
      double sum = a[i * n + j];
      for (size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(sum) : sum / a[j * n + j];
    }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return b;
}

}  // namespace

double Measurements::per_position(size_t recipe) const {
  const std::vector<double>& errors = recipes[recipe].errors;
  QSWEEP_CHECK(errors.size() == positions.size(), "errors of {} of {} samples", errors.size(),
               positions.size());
  return std::accumulate(errors.begin(), errors.end(), 0.0) /
         std::accumulate(positions.begin(), positions.end(), 0.0);
}

Problem refit(const Problem& problem, const Measurements& measured) {
  const std::vector<Row> rows = rows_of(problem, measured);
  const size_t n = rows.size();
  // With X the rows' shares and u their sums, the minimum is at kappa = 1 + u.w / 0.001, delta = X^T w / 0.3,
  // where (1 + u u^T / 0.001 + X X^T / 0.3) w = missing.
  std::vector<double> normal(n * n), missing;
  for (size_t i = 0; i < n; ++i) {
    missing.push_back(rows[i].missing);
    for (size_t j = 0; j <= i; ++j) {
      double shared = 0;
      for (size_t d = 0; d < problem.size(); ++d)
        if ((*rows[i].selection)[d] == (*rows[j].selection)[d])
          shared += share(problem, rows[i], d) * share(problem, rows[j], d);
      normal[i * n + j] = normal[j * n + i] =
          (i == j ? 1 : 0) + rows[i].sum * rows[j].sum / kRidgeOfKappa + shared / kRidge;
    }
  }
  const std::vector<double> weight = solve_definite(std::move(normal), std::move(missing));
  double kappa = 1;
  std::vector<double> factor(problem.choices(), 0);
  for (size_t i = 0; i < n; ++i) {
    kappa += rows[i].sum * weight[i] / kRidgeOfKappa;
    for (size_t d = 0; d < problem.size(); ++d)
      factor[problem.number(d, (*rows[i].selection)[d])] += share(problem, rows[i], d) * weight[i] / kRidge;
  }
  std::vector<double> errors = errors_of(problem);
  for (size_t k = 0; k < errors.size(); ++k) errors[k] *= std::max(kappa + factor[k], kLeastFactor);
  return problem.with_errors(errors);
}

}  // namespace qsweep::choose
