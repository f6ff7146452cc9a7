// `recipe --measure`: the best candidates of every budget are measured before one is chosen.
#pragma once

#include <functional>

#include "cli/recipe_flags.h"

namespace qsweep::cli {

// The flags beside --measure.
void add_measuring_flags(Flags& flags, RecipeFlags& values);
void search_recipes(RecipeFlags& flags, const std::function<io::Json()>& settings);

}  // namespace qsweep::cli
