// `qsweep compare` of two recipes.
#pragma once

#include <optional>
#include <string>

namespace qsweep::cli {

// Whether the file is JSON with rules in it.
bool is_recipe(const std::string& path);

// Writes compare_recipes.md and compare_recipes.json into the folder `out`, and says what they hold. `run`
// lists the ops and has the scores that predict.
void compare_recipes(const std::string& a, const std::string& b, const std::string& run,
                     const std::optional<std::string>& metric, const std::string& out);

}  // namespace qsweep::cli
