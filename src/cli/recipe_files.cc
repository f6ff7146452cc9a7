#include "cli/recipe_files.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <spdlog/spdlog.h>

#include "base/readable.h"
#include "io/atomic_file.h"
#include "recipe/recipe.h"
#include "report/page.h"
#include "report/recipes.h"
#include "scores/op_names.h"
#include "scores/schema.h"

namespace qsweep::cli {
namespace {

stacks::Choice choice_of(const scores::Run& run, const choose::Chosen& chosen, scores::Metric metric) {
  stacks::Choice choice{.name = chosen.name,
                        .metric = name(metric),
                        .predicted = chosen.predicted,
                        .measured = chosen.measured_error()};
  for (const scores::OpRecord& op : run.ops) {
    const auto format = chosen.formats.find(op.name);
    choice.formats.push_back(format == chosen.formats.end() ? nullptr : &quant::find_format(format->second));
  }
  return choice;
}

// In folders KIND or KIND_RECIPE.
void write_exports(const RecipeFlags& flags, const scores::Run& run, const choose::Spectrum& spectrum,
                   scores::Metric metric, const std::string& folder) {
  const stacks::Model model = stacks::model_of(run);
  std::set<std::string> warnings;
  for (const stacks::Kind kind : exports_of(flags))
    for (const choose::Chosen& chosen : spectrum.recipes) {
      const std::string place = spectrum.recipes.size() == 1 ? std::string(name(kind))
                                                             : fmt::format("{}_{}", name(kind), chosen.name);
      for (std::string& warning :
           stacks::export_recipe(kind, model, choice_of(run, chosen, metric), folder + "/" + place))
        if (warnings.insert(warning).second) spdlog::warn("{}", warning);
    }
}

}  // namespace

void write_recipes(const RecipeFlags& flags, const scores::Run& run, const choose::Spectrum& spectrum,
                   scores::Metric metric, const io::Json& json, const std::string& folder) {
  const auto write = [&](const std::string& file, const std::string& text) {
    io::write_file_atomically(folder + "/" + file, text);
  };
  write("recipes.json", scores::to_text(json));
  write("recipes.md", report::recipes_markdown(run, spectrum, metric));
  report::write_page({.run = &run, .recipes = &json}, folder);
  if (const std::string picture = report::pareto_svg(spectrum, metric); !picture.empty())
    write("recipes.svg", picture);
  for (const choose::Chosen& chosen : spectrum.recipes)
    write(report::recipe_file(spectrum, chosen),
          recipe::to_text(recipe::recipe_of(chosen.name, chosen.formats, scores::names_of(run.ops))));
  write_exports(flags, run, spectrum, metric, folder);
}

void tell_recipes(const Output& output, const std::string& out, const scores::Run& run,
                  const choose::Spectrum& spectrum, scores::Metric metric, const io::Json& json) {
  for (const std::string& note : report::recipe_notes(run, spectrum)) output.say("{}\n", note);
  output.say("{}", report::recipe_lines(spectrum, metric));
  output.say("{0}/recipes.md  {0}/report.html  {0}/recipes.json  {0}/{1}\n", out,
             spectrum.recipes.size() == 1 ? "recipe.json" : "recipe_*.json");
  output.result(recipe_summary(out, json));
}

io::Json recipe_summary(const std::string& out, const io::Json& json) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(out))
    if (!entry.path().filename().string().starts_with(kRecipeJournal))
      files.push_back(valid_utf8(out + "/" + entry.path().filename().string()));
  std::ranges::sort(files);
  io::Json recipes = io::Json::array();
  for (const io::Json& recipe : json.at("recipes")) {
    io::Json& summary = recipes.emplace_back();
    for (const char* key :
         {"name", "rules_file", "effective_bits", "checkpoint_bytes", "predicted", "measured"})
      summary[key] = recipe.at(key);
  }
  return {{"schema", "qsweep.summary/1"},
          {"command", "recipe"},
          {"files", std::move(files)},
          {"metric", json.at("metric")},
          {"recipes", std::move(recipes)}};
}

}  // namespace qsweep::cli
