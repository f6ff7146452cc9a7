// The choice against the truth, where every recipe was measured.
#include "spaces.h"

#include <algorithm>
#include <functional>
#include <map>

#include <gtest/gtest.h>

#include "base/stats.h"
#include "choose/pick.h"
#include "choose/solve.h"
#include "io/json.h"
#include "random_problem.h"

namespace qsweep::choose {
namespace {

constexpr Half kHalves[] = {Half::even, Half::odd};
constexpr int kBudgets = 30;

// Errors of choices over those of the best recipes within their budgets.
struct Regret {
  double log_sum = 0, worst = 1;
  int cases = 0;

  void add(double factor) {
    log_sum += std::log(factor);
    worst = std::max(worst, factor);
    ++cases;
  }
  double mean() const { return std::exp(log_sum / cases); }
  std::string text() const { return fmt::format("{:.4f} ({:.2f})", mean(), worst); }
};

// Evenly spaced between the least and the most bits.
std::vector<int64_t> budgets(const Problem& problem) {
  const auto low = static_cast<double>(problem.cheapest_bits()),
             high = static_cast<double>(problem.dearest_bits());
  std::vector<int64_t> budgets;
  for (int k = 1; k <= kBudgets; ++k)
    budgets.push_back(static_cast<int64_t>(low + (high - low) * k / (kBudgets + 1)));
  return budgets;
}

using Measure = std::function<std::vector<double>(const Selection&)>;

// Up to two rounds of eight recipes, each solved anew with what the ones before taught.
struct Loop {
  Measurements measured;
  Problem refitted;
  double best_of_first_round = 0;

  Loop(const Problem& problem, int64_t budget, std::vector<double> positions, const Measure& measure)
      : measured{.positions = std::move(positions), .recipes = {}}, refitted(problem) {
    std::vector<Selection> known;
    for (int round = 0; round < 2; ++round) {
      for (const Candidate& c : solve(refitted, budget, {.skip = known}).best) {
        known.push_back(c.selection);
        measured.recipes.push_back({c.selection, measure(c.selection)});
      }
      refitted = refit(problem, measured);
      if (round == 0) best_of_first_round = best();
    }
  }

  double best() const { return measured.per_position(*best_measured(measured)); }
  const Selection& picked() const {
    std::vector<double> predicted;
    for (const Measured& m : measured.recipes) predicted.push_back(refitted.predicted(m.selection));
    return measured.recipes[*pick(measured, predicted)].selection;
  }
};

struct Bars {
  double prediction, sum_at_least, unmeasured;
};

class SpacesSlow : public ::testing::TestWithParam<std::pair<std::string, Bars>> {
 protected:
  const std::string name = GetParam().first;
  const Bars bars = GetParam().second;
  const Space space{name};

  // Median factor between predicted and measured.
  double off_by(const std::function<double(const Selection&)>& predicted, Half half) const {
    std::vector<double> factors;
    for (size_t code = 0; code < space.recipes(); ++code) {
      const Selection selection = space.selection(code);
      if (const double truth = space.error(selection, half); truth > 0)
        factors.push_back(std::fabs(std::log(predicted(selection) / truth)));
    }
    return std::exp(median(factors));
  }

  // Of every budget, the least error of a recipe within it.
  std::map<int64_t, double> optima(const Problem& problem, Half half) const {
    std::map<int64_t, double> least;
    for (const int64_t budget : budgets(problem)) least[budget] = INFINITY;
    for (size_t code = 0; code < space.recipes(); ++code) {
      const Selection selection = space.selection(code);
      const int64_t bits = problem.bits(selection);
      const double error = space.error(selection, half);
      for (auto it = least.lower_bound(bits); it != least.end(); ++it)
        it->second = std::min(it->second, error);
    }
    return least;
  }
};

TEST_P(SpacesSlow, InteractionsPredictEveryRecipe) {
  for (const Half half : kHalves) {
    const Problem sums = space.problem(half, Errors::of_ops, false),
                  pairs = space.problem(half, Errors::of_groups, true);
    const double by_sum = off_by([&](const Selection& s) { return sums.predicted(s); }, half);
    const double by_pairs = off_by([&](const Selection& s) { return pairs.predicted(s); }, half);
    EXPECT_GE(by_sum, bars.sum_at_least);
    EXPECT_LE(by_pairs, bars.prediction);
    RecordProperty(half == Half::even ? "even" : "odd",
                   fmt::format("sum {:.3f}, pairs {:.3f}", by_sum, by_pairs));
  }
}

TEST_P(SpacesSlow, TheChoiceIsNearlyTheBest) {
  Regret sum, unmeasured, first_round, measured, picked;
  for (const Half half : kHalves) {
    const Problem problem = space.problem(half, Errors::of_groups, true);
    const auto per_position = [&](double error) { return error / static_cast<double>(problem.positions()); };
    for (const auto& [budget, least] : optima(problem, half)) {
      const Candidates candidates = solve(problem, budget);
      sum.add(space.error(candidates.best[*candidates.additive].selection, half) / least);
      unmeasured.add(space.error(candidates.best.front().selection, half) / least);
      const Loop loop(problem, budget, space.positions(half),
                      [&](const Selection& s) { return space.measured(s, half); });
      first_round.add(loop.best_of_first_round / per_position(least));
      measured.add(loop.best() / per_position(least));
      picked.add(space.error(loop.picked(), half) / least);
      EXPECT_LE(problem.bits(loop.picked()), budget);
    }
  }
  RecordProperty("regret",
                 fmt::format("sum {}, unmeasured {}, best of 8 {}, of 16 {}, picked {}", sum.text(),
                             unmeasured.text(), first_round.text(), measured.text(), picked.text()));
  EXPECT_EQ(measured.cases, 60);
  EXPECT_LE(unmeasured.mean(), bars.unmeasured);
  EXPECT_LE(first_round.mean(), 1.005);
  EXPECT_LE(first_round.worst, 1.15);
  EXPECT_LE(measured.mean(), 1.001);
  EXPECT_LE(picked.mean(), 1.02);
  EXPECT_LE(picked.worst, 1.16);
}

INSTANTIATE_TEST_SUITE_P(, SpacesSlow,
                         ::testing::Values(std::pair{"weights", Bars{1.04, 1.08, 1.01}},
                                           std::pair{"int", Bars{1.06, 1.10, 1.04}},
                                           std::pair{"fp", Bars{1.07, 1.10, 1.08}}),
                         [](const auto& space) { return space.param.first; });

// Ten groups in two formats; scores are of other samples than the truth, and nothing is known of pairs.
TEST(Spaces, TenGroupsByTheSumAlone) {
  const io::Json json = io::read_json_file(testing::testdata_folder() + "/recipes/ten_groups.json");
  for (const auto& [name, menu] : json["menus"].items()) {
    constexpr int64_t kMillionths = 1000000;
    std::vector<Decision> decisions;
    for (size_t g = 0; g < 10; ++g) {
      const auto more = static_cast<int64_t>(std::lround(menu["more_bits"][g].get<double>() * kMillionths));
      const auto& scores = menu["scores"][g];
      decisions.push_back({.name = std::to_string(g),
                           .ops = {},
                           .choices = {{.bits = 0, .error = scores[0]}, {.bits = more, .error = scores[1]}}});
    }
    const Problem problem(decisions, kMillionths, json["positions"]);
    const std::vector<double> truth = menu["kl"];
    const auto code = [](const Selection& s) {
      size_t number = 0;
      for (size_t g = 0; g < s.size(); ++g) number |= static_cast<size_t>(s[g]) << g;
      return number;
    };
    Regret unmeasured, measured;
    for (const int64_t budget : budgets(problem)) {
      double least = INFINITY;
      each_selection(problem, [&](const Selection& s) {
        if (problem.bits(s) <= budget) least = std::min(least, truth[code(s)]);
      });
      unmeasured.add(truth[code(solve(problem, budget).best.front().selection)] / least);
      const Loop loop(problem, budget, {1},
                      [&](const Selection& s) { return std::vector<double>{truth[code(s)]}; });
      measured.add(loop.best() / least);
    }
    RecordProperty(name, fmt::format("unmeasured {}, measured {}", unmeasured.text(), measured.text()));
    EXPECT_LE(measured.worst, name == "nvfp4" ? 1.15 : 1.05) << name;
  }
}

}  // namespace
}  // namespace qsweep::choose
