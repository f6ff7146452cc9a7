#include "choose/verdict.h"

#include <algorithm>

namespace qsweep::choose {
namespace {

constexpr size_t kEnoughSamples = 12, kHeldOutOf = 3;

std::vector<double> predictions(const Problem& refitted, const Measurements& measured) {
  std::vector<double> predicted;
  for (const Measured& recipe : measured.recipes) predicted.push_back(refitted.predicted(recipe.selection));
  return predicted;
}

// The pick among the others.
std::optional<size_t> pick_without(Measurements measured, std::vector<double> predicted, size_t left_out) {
  measured.recipes.erase(measured.recipes.begin() + static_cast<std::ptrdiff_t>(left_out));
  predicted.erase(predicted.begin() + static_cast<std::ptrdiff_t>(left_out));
  std::optional<size_t> picked = pick(measured, predicted);
  if (picked && *picked >= left_out) ++*picked;
  return picked;
}

Judged judged(const Measurements& measured, size_t chosen, std::optional<size_t> runner_up,
              std::optional<size_t> additive) {
  const auto over = [&](std::optional<size_t> other) {
    return other && *other != chosen
               ? std::optional(paired_ratio(measured.recipes[chosen].errors, measured.recipes[*other].errors))
               : std::nullopt;
  };
  return {.error = measured.per_position(chosen),
          .interval = paired_ratio(measured.recipes[chosen].errors, measured.positions).interval,
          .over_runner_up = over(runner_up),
          .over_additive = over(additive)};
}

}  // namespace

size_t usually_held_out(size_t samples) { return samples < kEnoughSamples ? 0 : samples / kHeldOutOf; }

std::vector<size_t> held_out_samples(size_t samples, size_t held_out) {
  std::vector<size_t> chosen;
  for (size_t i = 1; i <= held_out; ++i) chosen.push_back(i * samples / held_out - 1);
  return chosen;
}

std::vector<size_t> other_samples(size_t samples, std::span<const size_t> held_out) {
  std::vector<size_t> others;
  for (size_t s = 0; s < samples; ++s)
    if (std::ranges::find(held_out, s) == held_out.end()) others.push_back(s);
  return others;
}

Measurements on_samples(const Measurements& measured, std::span<const size_t> samples) {
  const auto chosen = [&](const std::vector<double>& values) {
    std::vector<double> some;
    for (const size_t s : samples) some.push_back(values[s]);
    return some;
  };
  Measurements some{.positions = chosen(measured.positions), .recipes = {}};
  for (const Measured& recipe : measured.recipes)
    some.recipes.push_back({recipe.selection, chosen(recipe.errors)});
  return some;
}

std::optional<Verdict> judge(const Problem& problem, const Measurements& measured,
                             std::span<const size_t> held_out, std::optional<size_t> additive) {
  const Measurements seen = on_samples(measured, other_samples(measured.positions.size(), held_out));
  const std::vector<double> predicted = predictions(refit(problem, seen), seen);
  const std::optional<size_t> chosen = pick(seen, predicted);
  if (!chosen) return std::nullopt;
  const std::optional<size_t> runner_up = pick_without(seen, predicted, *chosen);
  Verdict verdict{.chosen = *chosen,
                  .runner_up = runner_up,
                  .predicted = predicted[*chosen] / static_cast<double>(problem.positions()),
                  .seen = judged(seen, *chosen, runner_up, additive),
                  .held_out = {}};
  if (!held_out.empty())
    verdict.held_out = judged(on_samples(measured, held_out), *chosen, runner_up, additive);
  return verdict;
}

}  // namespace qsweep::choose
