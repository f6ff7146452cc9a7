// Where two recipes differ and what that costs: for people, and for programs.
#pragma once

#include <string>

#include "choose/difference.h"
#include "scores/run.h"

namespace qsweep::report {

inline constexpr std::string_view kRecipeDifferenceSchema = "qsweep.compare_recipes/1";

struct RecipeTitle {
  std::string name, file_name;
};
// Two recipes of a run's model.
struct RecipeComparison {
  const scores::Run& run;
  RecipeTitle a, b;
  choose::Difference difference;
};

// Both recipes and the changes that weigh most, for a terminal.
std::string recipe_difference_lines(const RecipeComparison& comparison);

// compare_recipes.json: schema, model, data, metric, positions, predicted_by, a, b, change, same_ops,
// differing.
io::Json recipe_difference_json(const RecipeComparison& comparison);
std::string recipe_difference_markdown(const RecipeComparison& comparison);

// Replaces compare_recipes.json and compare_recipes.md in the folder, each atomically.
void write_recipe_difference(const RecipeComparison& comparison, const std::string& folder);

}  // namespace qsweep::report
