#include "choose/refit.h"

#include <gtest/gtest.h>

#include "choose/relaxation.h"
#include "random_problem.h"

namespace qsweep::choose {
namespace {

// Six recipes measured on two samples of 50 positions, whose errors are off the prediction by up to a half.
Measurements measure(const Problem& problem, uint64_t seed) {
  Rng rng(seed);
  Measurements measured{.positions = {50, 50}, .recipes = {}};
  for (int i = 0; i < 6; ++i) {
    Selection selection;
    // The last choice of every decision is never measured.
    for (const Decision& decision : problem.decisions())
      selection.push_back(static_cast<int>(rng.below(decision.choices.size() - 1)));
    const double error = problem.predicted(selection) * (0.7 + rng.uniform());
    measured.recipes.push_back({selection, {0.25 * error, 0.75 * error}});
  }
  return measured;
}

// What refit() minimizes, in plain loops.
double loss(const Problem& problem, const Measurements& measured, const std::vector<double>& deltas,
            double kappa) {
  double loss = 0.001 * (kappa - 1) * (kappa - 1);
  for (const double delta : deltas) loss += 0.3 * delta * delta;
  for (const Measured& recipe : measured.recipes) {
    double predicted = problem.pairs(recipe.selection);
    for (size_t d = 0; d < problem.size(); ++d) {
      const auto choice = static_cast<size_t>(recipe.selection[d]);
      predicted += (kappa + deltas[problem.first(d) + choice]) * problem.decisions()[d].choices[choice].error;
    }
    const double residual = 1 - predicted / (recipe.errors[0] + recipe.errors[1]);
    loss += residual * residual;
  }
  return loss;
}

TEST(Refit, IsTheMinimum) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Problem problem = random_problem({.decisions = 5, .formats = 4, .pairs = seed % 2 == 0}, seed);
    const Measurements measured = measure(problem, seed);
    const std::vector<double> before = errors_of(problem), after = errors_of(refit(problem, measured));
    const double kappa = after[3] / before[3];  // of a choice that nothing is known of
    std::vector<double> deltas;
    for (size_t k = 0; k < before.size(); ++k) deltas.push_back(after[k] / before[k] - kappa);
    const double least = loss(problem, measured, deltas, kappa);
    EXPECT_LT(least, loss(problem, measured, std::vector<double>(deltas.size(), 0), 1)) << seed;
    constexpr double kStep = 1e-4;
    // The loss is quadratic, so differences to both sides are its derivative exactly.
    const auto slope = [&](double& x) {
      x += kStep;
      const double up = loss(problem, measured, deltas, kappa);
      x -= 2 * kStep;
      const double down = loss(problem, measured, deltas, kappa);
      x += kStep;
      return (up - down) / (2 * kStep);
    };
    for (double& delta : deltas) EXPECT_NEAR(slope(delta), 0, 1e-8) << seed;
    const double up = loss(problem, measured, deltas, kappa + kStep);
    const double down = loss(problem, measured, deltas, kappa - kStep);
    EXPECT_NEAR((up - down) / (2 * kStep), 0, 1e-8) << seed;
  }
}

TEST(Refit, OneMeasuredRecipeIsNearlyFitted) {
  const Problem problem = random_problem({.decisions = 5, .formats = 3, .pairs = true}, 1);
  const Selection selection(5, 1);
  const double error = 3 * problem.predicted(selection);
  const Problem fitted = refit(problem, {.positions = {100}, .recipes = {{selection, {error}}}});
  EXPECT_NEAR(fitted.predicted(selection), error, 0.02 * error);
  const Problem shorter = refit(problem, {.positions = {10}, .recipes = {{selection, {error / 10}}}});
  EXPECT_NEAR(shorter.predicted(selection), fitted.predicted(selection), 1e-9 * error)
      << "errors are compared per position";
}

TEST(Refit, RecipesWithoutAnErrorSayNothing) {
  const Problem problem = random_problem({.decisions = 4}, 2);
  for (const double error : {0.0, double{NAN}, double{INFINITY}}) {
    const Problem fitted = refit(problem, {.positions = {100}, .recipes = {{Selection(4, 0), {error}}}});
    EXPECT_EQ(errors_of(fitted), errors_of(problem)) << error;
  }
  EXPECT_EQ(errors_of(refit(problem, {})), errors_of(problem));
}

TEST(Refit, NoChoiceBecomesFree) {
  const Problem problem = random_problem({.decisions = 4}, 3);
  const Selection selection(4, 0);
  const double error = 1e-6 * problem.predicted(selection);
  const Problem fitted = refit(problem, {.positions = {100}, .recipes = {{selection, {error}}}});
  for (size_t d = 0; d < 4; ++d)
    EXPECT_GE(fitted.decisions()[d].choices[0].error, 0.0499 * problem.decisions()[d].choices[0].error);
}

}  // namespace
}  // namespace qsweep::choose
