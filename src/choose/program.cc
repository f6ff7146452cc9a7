#include "choose/program.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>

#include <coin/Cbc_C_Interface.h>

#include "base/error.h"
#include "choose/descent.h"
#include "choose/relaxation.h"

namespace qsweep::choose {
namespace {

// With the price p of a bit from the relaxation, r = S + p b - min over the decision is what a choice costs
// beyond the bound, and so
//
//   sum S x  =  least_sum + sum r x + p (budget - sum b x).
//
// A choice whose r alone exceeds what a known selection has beyond the bound is in no better one. What is
// left, mostly a few decisions, is the program: its numbers are all of the size of the question that is open.
class Core {
 public:
  // known: a selection within the budget.
  Core(const Problem& problem, const Relaxation& relaxation, int64_t budget_bits, const Selection& known)
      : problem_(problem), price_(relaxation.price), open_(problem.sum(known) - relaxation.least_sum) {
    left_ = budget_bits;
    for (size_t d = 0; d < problem.size(); ++d) keep_choices(d);
    for (const auto& [decision, choice, bits, cost] : kept_) unit_ = std::gcd(unit_, bits);
    unit_ = std::max<int64_t>(unit_, 1);
  }

  // The best selection that the search found, if any; whether it proved that there is no better one; else by
  // how much every sum is above the bound at least.
  struct Found {
    std::optional<Selection> selection;
    bool proved = false;
    double least_cost = 0;
  };
  Found solve() const;

 private:
  struct Kept {
    size_t decision;
    int choice;
    int64_t bits;  // beyond the decision's cheapest that is kept
    double cost;   // r
  };

  void keep_choices(size_t decision) {
    const auto& choices = problem_.decisions()[decision].choices;
    const auto value = [&](const Choice& c) { return c.error + price_ * static_cast<double>(c.bits); };
    double least = INFINITY;
    for (const Choice& c : choices) least = std::min(least, value(c));
    const size_t begin = kept_.size();
    // Rounding must not lose a choice: what is on the edge stays.
    const double most = open_ + 1e-9 * (std::fabs(least) + std::fabs(open_));
    for (size_t c = 0; c < choices.size(); ++c)
      if (const double cost = value(choices[c]) - least; cost <= most)
        kept_.push_back({decision, static_cast<int>(c), choices[c].bits, cost});
    int64_t cheapest = INT64_MAX;
    for (size_t k = begin; k < kept_.size(); ++k) cheapest = std::min(cheapest, kept_[k].bits);
    for (size_t k = begin; k < kept_.size(); ++k) kept_[k].bits -= cheapest;
    left_ -= cheapest;
  }

  const Problem& problem_;
  double price_, open_;
  int64_t left_ = 0;  // bits beyond the cheapest
  int64_t unit_ = 0;  // that all bits are multiples of
  std::vector<Kept> kept_;
};

using Model = std::unique_ptr<Cbc_Model, decltype(&Cbc_deleteModel)>;

// Columns of the program, with the rows "one choice of each decision" and, last, "the bits are those left".
struct Columns {
  std::vector<CoinBigIndex> start{0};
  std::vector<int> row;
  std::vector<double> value, cost;

  void add(std::initializer_list<std::pair<int, double>> entries, double objective) {
    for (const auto& [r, v] : entries) {
      row.push_back(r);
      value.push_back(v);
    }
    start.push_back(static_cast<CoinBigIndex>(row.size()));
    cost.push_back(objective);
  }
};

constexpr double kScale = 1000;  // of the objective, in which open() is this much

Core::Found Core::solve() const {
  const int decisions = static_cast<int>(problem_.size()), budget_row = decisions;
  // What a choice takes is a multiple of the unit; of the budget a rest may be lost, which no choice could
  // use.
  const auto units = [&](int64_t bits) {
    const int64_t whole = bits / unit_;
    return static_cast<double>(whole);
  };
  const double spare = units(left_);
  Columns columns;
  for (const Kept& kept : kept_)
    columns.add({{static_cast<int>(kept.decision), 1.0}, {budget_row, units(kept.bits)}},
                kept.cost / open_ * kScale);
  columns.add({{budget_row, 1.0}}, price_ * static_cast<double>(unit_) / open_ * kScale);  // bits not spent
  const int n = static_cast<int>(columns.cost.size());
  std::vector<double> lower(columns.cost.size(), 0), upper(columns.cost.size(), 1);
  upper.back() = spare;
  std::vector<double> sides(problem_.size(), 1);
  sides.push_back(spare);
  const Model model(Cbc_newModel(), Cbc_deleteModel);
  Cbc_loadProblem(model.get(), n, decisions + 1, columns.start.data(), columns.row.data(),
                  columns.value.data(), lower.data(), upper.data(), columns.cost.data(), sides.data(),
                  sides.data());
  for (int i = 0; i + 1 < n; ++i) Cbc_setInteger(model.get(), i);
  Cbc_setLogLevel(model.get(), 0);
  for (const auto& [name, value] :
       {std::pair{"increment", "1e-9"}, {"ratioGap", "0"}, {"allowableGap", "0"}, {"threads", "0"}})
    Cbc_setParameter(model.get(), name, value);
  Cbc_setMaximumNodes(model.get(), kMostNodes);
  Cbc_solve(model.get());
  const bool proved = Cbc_isProvenOptimal(model.get()) != 0;
  Found found{.selection = {}, .proved = proved};
  if (!proved) found.least_cost = Cbc_getBestPossibleObjValue(model.get()) / kScale * open_;
  if (!proved && Cbc_numberSavedSolutions(model.get()) == 0) return found;
  const double* x = Cbc_getColSolution(model.get());
  found.selection = Selection(problem_.size(), 0);
  for (size_t k = 0; k < kept_.size(); ++k)
    if (x[k] > 0.5) (*found.selection)[kept_[k].decision] = kept_[k].choice;
  return found;
}

}  // namespace

ExactSum least_sum(const Problem& problem, int64_t budget_bits) {
  const Relaxation relaxation = relax(problem, errors_of(problem), budget_bits);
  ExactSum exact{.selection = descend_by_sum(problem, relaxation.rounded, budget_bits, relaxation.price),
                 .least_sum = relaxation.least_sum};
  exact.sum = problem.sum(exact.selection);
  const double rounding = 1e-12 * std::fabs(exact.sum);
  if (exact.sum - relaxation.least_sum <= rounding) {
    exact.least_sum = exact.sum;
    return exact;
  }
  const Core core(problem, relaxation, budget_bits, exact.selection);
  const Core::Found found = core.solve();
  const bool usable = found.selection && problem.bits(*found.selection) <= budget_bits;
  if (usable && problem.sum(*found.selection) < exact.sum) {
    exact.selection = *found.selection;
    exact.sum = problem.sum(exact.selection);
  }
  exact.least_sum = usable && found.proved ? exact.sum : relaxation.least_sum + found.least_cost;
  return exact;
}

}  // namespace qsweep::choose
