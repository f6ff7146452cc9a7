// What `recipe` leaves in --out.
#pragma once

#include <string>
#include <vector>

#include "cli/recipe_flags.h"

namespace qsweep::cli {

// Of a search whose candidates are measured.
inline constexpr const char* kRecipeJournal = "recipe_journal.sqlite";

// All files of the recipes, into a folder that has none of them: recipes.json with this content, recipes.md,
// the picture, the recipes, the exports.
void write_recipes(const RecipeFlags& flags, const scores::Run& run, const choose::Spectrum& spectrum,
                   scores::Metric metric, const io::Json& json, const std::string& folder);

// Says what was chosen, and where it stands; to programs by recipes.json.
void tell_recipes(const Output& output, const std::string& out, const scores::Run& run,
                  const choose::Spectrum& spectrum, scores::Metric metric, const io::Json& json);

// For programs, from recipes.json and what else is in --out.
io::Json recipe_summary(const std::string& out, const io::Json& json);

}  // namespace qsweep::cli
