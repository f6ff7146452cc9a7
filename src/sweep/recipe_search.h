// The closed loop of recipes: the best candidates of every budget are measured, and what that teaches finds
// the next ones. docs/method.md, "Recipes".
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "choose/pick.h"
#include "choose/solve.h"
#include "choose/verdict.h"
#include "sweep/evaluate.h"

namespace qsweep::sweep {

struct SearchOptions {
  scores::Metric metric;  // that the problem's errors are of
  size_t candidates = 8;  // of a budget in a round
  int rounds = 2;         // at most: the loop ends after one without a new best recipe
  // Samples of the data that judge the choice and have no part in it, ascending.
  std::vector<size_t> held_out = {};
  uint64_t seed = 1;
};

// What was found within a budget.
struct SearchResult {
  choose::Candidates first;                // the candidates before anything was measured
  choose::Measurements measured;           // of all rounds, on all samples
  std::optional<choose::Verdict> verdict;  // none where no recipe has a finite error
};

class RecipeSearch {
 public:
  // problem: decisions over the model's ops, by index; it must outlive the search. budgets: most stored bits.
  RecipeSearch(const Setting& setting, const choose::Problem& problem, std::vector<int64_t> budgets,
               SearchOptions options);

  void keep(const schedule::Keeping& keeping);  // as Evaluation's
  // Plans the first round; nothing is computed yet. Later ones measure at most as many recipes.
  void prepare();
  const Evaluation& first_round() const { return *evaluation_; }
  size_t first_recipes() const { return new_.size(); }
  std::vector<SearchResult> run(const ProgressObserver& progress);
  // Of all rounds so far.
  const RunReport& report() const { return report_ ? *report_ : evaluation_->report(); }
  // Ops that the recipes quantize and that had to stay float: no calibration sample reaches them.
  const std::set<std::string>& uncalibrated() const { return uncalibrated_; }

 private:
  std::vector<RecipeFormats> recipes() const;
  void measure(const ProgressObserver& progress);
  void propose(size_t budget, const choose::Candidates& candidates);
  std::string phase() const;
  bool take_results();
  void propose_next();
  std::optional<double> best_error(size_t budget) const;
  choose::Measurements seen(size_t budget) const;  // on the samples that choose

  Setting setting_;
  const choose::Problem& problem_;
  std::vector<int64_t> budgets_;
  SearchOptions options_;
  schedule::Keeping keeping_;
  std::unique_ptr<Evaluation> evaluation_;  // of the round
  std::optional<RunReport> report_;
  int round_ = 0;
  std::vector<choose::Selection> new_;                       // of the round, each once
  std::vector<std::vector<choose::Selection>> wanted_;       // of the round, by budget
  std::map<choose::Selection, std::vector<double>> errors_;  // by sample, of all that was measured
  std::vector<double> positions_;                            // by sample
  std::set<std::string> uncalibrated_;
  std::vector<SearchResult> results_;
};

}  // namespace qsweep::sweep
