#include "sweep/recipe_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "choose/refit.h"
#include "scores/eval.h"

namespace qsweep::sweep {

RecipeSearch::RecipeSearch(const Setting& setting, const choose::Problem& problem,
                           std::vector<int64_t> budgets, SearchOptions options)
    : setting_(setting),
      problem_(problem),
      budgets_(std::move(budgets)),
      options_(std::move(options)),
      wanted_(budgets_.size()),
      results_(budgets_.size()) {
  for (size_t b = 0; b < budgets_.size(); ++b) {
    results_[b].first =
        choose::solve(problem_, budgets_[b], {.candidates = options_.candidates, .seed = options_.seed});
    propose(b, results_[b].first);
  }
}

void RecipeSearch::propose(size_t budget, const choose::Candidates& candidates) {
  for (const choose::Candidate& candidate : candidates.best) {
    wanted_[budget].push_back(candidate.selection);
    const bool is_new =
        !errors_.contains(candidate.selection) && std::ranges::find(new_, candidate.selection) == new_.end();
    if (is_new) new_.push_back(candidate.selection);
  }
}

std::vector<RecipeFormats> RecipeSearch::recipes() const {
  std::vector<RecipeFormats> recipes;
  for (const choose::Selection& selection : new_) {
    RecipeFormats& recipe = recipes.emplace_back(RecipeFormats{
        .name = fmt::format("{}.{}", round_ + 1, recipes.size() + 1), .rules_file = "", .formats = {}});
    recipe.formats.resize(setting_.model.ops.size());
    for (size_t d = 0; d < problem_.size(); ++d) {
      const choose::Decision& decision = problem_.decisions()[d];
      for (const size_t op : decision.ops)
        recipe.formats[op] = decision.choices[static_cast<size_t>(selection[d])].format;
    }
  }
  return recipes;
}

std::string RecipeSearch::phase() const { return fmt::format("recipes/{}", round_ + 1); }

void RecipeSearch::keep(const schedule::Keeping& keeping) {
  keeping_ = keeping;
  if (evaluation_) evaluation_->keep(keeping_, phase());
}

void RecipeSearch::prepare() {
  evaluation_ = std::make_unique<Evaluation>(setting_, recipes());
  evaluation_->keep(keeping_, phase());
  evaluation_->prepare();
}

void RecipeSearch::measure(const ProgressObserver& progress) {
  const scores::EvalRun run = evaluation_->run(options_.metric, progress);
  const auto scope = static_cast<size_t>(options_.metric.scope);
  positions_.assign(run.sample_positions[scope].begin(), run.sample_positions[scope].end());
  for (size_t i = 0; i < new_.size(); ++i) {
    std::vector<double> errors = run.recipes[i].sample_errors[scope];
    if (errors.empty()) errors.assign(positions_.size(), INFINITY);
    errors_[new_[i]] = std::move(errors);
    uncalibrated_.insert(run.recipes[i].uncalibrated.begin(), run.recipes[i].uncalibrated.end());
  }
  if (report_)
    report_->add(evaluation_->report());
  else
    report_ = evaluation_->report();
}

choose::Measurements RecipeSearch::seen(size_t budget) const {
  return choose::on_samples(results_[budget].measured,
                            choose::other_samples(positions_.size(), options_.held_out));
}

// Of the recipes measured within the budget, by the samples that choose.
std::optional<double> RecipeSearch::best_error(size_t budget) const {
  const choose::Measurements by = seen(budget);
  const std::optional<size_t> best = choose::best_measured(by);
  return best ? std::optional(by.per_position(*best)) : std::nullopt;
}

// Takes what each budget has asked for. Whether some budget has a better recipe than before.
bool RecipeSearch::take_results() {
  bool better = false;
  for (size_t b = 0; b < budgets_.size(); ++b) {
    results_[b].measured.positions = positions_;
    const std::optional<double> before = best_error(b);
    for (choose::Selection& selection : wanted_[b]) {
      const std::vector<double>& errors = errors_.at(selection);
      results_[b].measured.recipes.push_back({std::move(selection), errors});
    }
    wanted_[b].clear();
    const std::optional<double> after = best_error(b);
    better = better || (after && (!before || *after < *before));
  }
  new_.clear();
  return better;
}

// Candidates of the problem as the measured recipes have corrected it.
void RecipeSearch::propose_next() {
  for (size_t b = 0; b < budgets_.size(); ++b) {
    choose::SolveOptions solving{.candidates = options_.candidates, .seed = options_.seed};
    for (const choose::Measured& recipe : results_[b].measured.recipes)
      solving.skip.push_back(recipe.selection);
    propose(b, choose::solve(choose::refit(problem_, seen(b)), budgets_[b], solving));
  }
}

std::vector<SearchResult> RecipeSearch::run(const ProgressObserver& progress) {
  for (; round_ < options_.rounds; ++round_) {
    // Where others have measured all that a budget asks for, there is nothing to compute.
    if (!new_.empty()) {
      if (round_ > 0) prepare();
      measure(progress);
    }
    if (!take_results() || round_ + 1 == options_.rounds) break;
    propose_next();
  }
  for (SearchResult& result : results_)
    result.verdict = choose::judge(problem_, result.measured, options_.held_out, result.first.additive);
  return std::move(results_);
}

}  // namespace qsweep::sweep
