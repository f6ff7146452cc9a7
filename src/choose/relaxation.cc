#include "choose/relaxation.h"

#include <algorithm>

#include "base/error.h"

namespace qsweep::choose {
namespace {

struct HullStep {
  size_t decision;
  int to;  // the choice
  int64_t bits;
  double saved;  // error

  double benefit() const { return saved / static_cast<double>(bits); }
};

// Choices of a decision with the bits and errors that the steps go by.
struct Point {
  int choice;
  int64_t bits;
  double error;
};

// From the cheapest on, each costing more bits and erring less, at falling benefit.
std::vector<Point> lower_hull(const Problem& problem, std::span<const double> errors, size_t decision) {
  std::vector<Point> points;
  const auto& choices = problem.decisions()[decision].choices;
  for (size_t c = 0; c < choices.size(); ++c)
    points.push_back({static_cast<int>(c), choices[c].bits, errors[problem.first(decision) + c]});
  std::ranges::stable_sort(points, [](const Point& a, const Point& b) {
    return a.bits != b.bits ? a.bits < b.bits : a.error < b.error;
  });
  std::vector<Point> hull;
  const auto benefit = [](const Point& a, const Point& b) {
    return (a.error - b.error) / static_cast<double>(b.bits - a.bits);
  };
  for (const Point& point : points) {
    if (!hull.empty() && point.error >= hull.back().error) continue;
    while (hull.size() >= 2 && benefit(hull[hull.size() - 2], hull.back()) <= benefit(hull.back(), point))
      hull.pop_back();
    hull.push_back(point);
  }
  return hull;
}

}  // namespace

std::vector<double> errors_of(const Problem& problem) {
  std::vector<double> errors;
  for (const Decision& decision : problem.decisions())
    for (const Choice& choice : decision.choices) errors.push_back(choice.error);
  return errors;
}

Relaxation relax(const Problem& problem, std::span<const double> errors, int64_t budget_bits) {
  Relaxation relaxation;
  std::vector<HullStep> steps;
  int64_t left = budget_bits;
  for (size_t d = 0; d < problem.size(); ++d) {
    const std::vector<Point> hull = lower_hull(problem, errors, d);
    relaxation.rounded.push_back(hull.front().choice);
    relaxation.least_sum += hull.front().error;
    left -= hull.front().bits;
    for (size_t i = 1; i < hull.size(); ++i)
      steps.push_back(
          {d, hull[i].choice, hull[i].bits - hull[i - 1].bits, hull[i - 1].error - hull[i].error});
  }
  QSWEEP_CHECK(left >= 0, "a budget of {} bits, below the cheapest {}", budget_bits, problem.cheapest_bits());
  std::ranges::stable_sort(steps,
                           [](const HullStep& a, const HullStep& b) { return a.benefit() > b.benefit(); });
  std::vector<bool> stopped(problem.size());
  bool limited = false;
  for (const HullStep& step : steps) {
    const bool fits = !stopped[step.decision] && step.bits <= left;
    if (!limited && fits) relaxation.least_sum -= step.saved;
    if (!limited && !fits) {
      limited = true;
      relaxation.price = step.benefit();
      relaxation.least_sum -= step.benefit() * static_cast<double>(left);
    }
    stopped[step.decision] = !fits;
    if (!fits) continue;
    relaxation.rounded[step.decision] = step.to;
    left -= step.bits;
  }
  return relaxation;
}

}  // namespace qsweep::choose
