// The recipes chosen for some budgets: for people, and for programs.
#pragma once

#include <string>
#include <vector>

#include "choose/spectrum.h"
#include "scores/run.h"

namespace qsweep::report {

inline constexpr std::string_view kRecipesSchema = "qsweep.recipes/1";

// The file of a recipe beside recipes.json.
std::string recipe_file(const choose::Spectrum& spectrum, const choose::Chosen& chosen);

// What a reader must know: what bits cover, what stays float, what predicts; a sentence each.
std::vector<std::string> recipe_notes(const scores::Run& run, const choose::Spectrum& spectrum);

// One line per recipe, for a terminal.
std::string recipe_lines(const choose::Spectrum& spectrum, scores::Metric metric);

// recipes.json: schema, model, data, settings, metric, choices (what could be chosen), measured_on, recipes.
io::Json recipes_json(const scores::Run& run, const choose::Spectrum& spectrum, scores::Metric metric,
                      const io::Json& settings);
std::string recipes_markdown(const scores::Run& run, const choose::Spectrum& spectrum, scores::Metric metric);
// Bits against measured error, or predicted error where nothing is measured; empty for a single recipe.
std::string pareto_svg(const choose::Spectrum& spectrum, scores::Metric metric);

}  // namespace qsweep::report
