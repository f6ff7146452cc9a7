#include "cli/compare_recipes.h"

#include <filesystem>

#include "base/limits.h"
#include "cli/output.h"
#include "cli/outputs.h"
#include "compare/run.h"
#include "io/atomic_file.h"
#include "recipe/recipe.h"
#include "report/recipe_difference.h"
#include "scores/op_names.h"

namespace qsweep::cli {

bool is_recipe(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  const io::Json json = io::read_json_file(path);
  return json.is_object() && json.contains("rules");
}

void compare_recipes(const std::string& a, const std::string& b, const std::string& run,
                     const std::optional<std::string>& metric, const std::string& out) {
  const scores::Run scored = with_context("--run", [&] { return compare::read_run(run); });
  const recipe::Recipe first = recipe::read_recipe(a), second = recipe::read_recipe(b);
  const scores::Metric by = metric ? with_context("--metric", [&] { return scores::parse_metric(*metric); })
                                   : scored.ranking_metric;
  const std::vector<std::string> names = scores::names_of(scored.ops);
  const report::RecipeComparison comparison{
      .run = scored,
      .a = {first.name, first.file_name},
      .b = {second.name, second.file_name},
      .difference =
          choose::difference(scored, recipe::formats_of(first, names), recipe::formats_of(second, names), by,
                             compare::interactions_of(scored, run, by, Threads{usable_processors()}))};
  const std::string files = out + "/compare_recipes";
  check_outputs(
      {{"the first recipe", a}, {"the second recipe", b}, {"the file of --run", compare::scores_file(run)}},
      {{"--out", files + ".md"}, {"--out", files + ".json"}});
  with_context("--out", [&] { io::ensure_folder(out); });
  report::write_recipe_difference(comparison, out);
  say("{0}{1}.md  {1}.json\n", report::recipe_difference_lines(comparison), files);
}

}  // namespace qsweep::cli
