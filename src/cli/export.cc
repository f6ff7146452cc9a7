#include <filesystem>

#include <spdlog/spdlog.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "compare/run.h"
#include "recipe/recipe.h"
#include "scores/eval.h"
#include "scores/op_names.h"
#include "stacks/stacks.h"

namespace qsweep::cli {
namespace {

struct ExportFlags {
  std::string recipe, run, kind, out;
  std::optional<std::string> eval;
};

// Whether the evaluation was of this choice, and not of another one of the same name.
bool is_of(const scores::EvalRecipe& evaluated, const stacks::Model& model, const stacks::Choice& choice) {
  for (size_t op = 0; op < model.ops.size(); ++op) {
    const auto found = evaluated.ops.find(model.ops[op].name);
    const std::string_view format = found == evaluated.ops.end() ? "" : std::string_view(found->second);
    if (format != (choice.formats[op] == nullptr ? "" : choice.formats[op]->name)) return false;
  }
  return true;
}

// What an evaluation has measured of the choice, and what scores foretold.
void read_errors(const std::string& folder, const stacks::Model& model, stacks::Choice& choice) {
  const scores::EvalRun run = scores::read_eval(folder);
  for (const scores::EvalRecipe& recipe : run.recipes) {
    if (!is_of(recipe, model, choice)) continue;
    choice.metric = scores::name(run.ranking_metric);
    if (recipe.has(run.ranking_metric)) choice.measured = recipe.per_position(run.ranking_metric);
    const scores::Prediction* prediction = recipe.prediction(run.ranking_metric);
    if (prediction != nullptr && prediction->complete() && prediction->positions > 0)
      choice.predicted =
          prediction->best().value_or(prediction->plain_sum) / static_cast<double>(prediction->positions);
    return;
  }
  fail("{}: none of its recipes has the formats of \"{}\"", folder, choice.name);
}

void run(const ExportFlags& flags) {
  const stacks::Kind kind = with_context("--kind", [&] { return stacks::parse_kind(flags.kind); });
  const stacks::Model model = stacks::model_of(compare::read_run(flags.run));
  const recipe::Recipe recipe = recipe::read_recipe(flags.recipe);
  stacks::Choice choice{.name = recipe.name,
                        .formats = recipe::formats_of(recipe, scores::names_of(model.ops))};
  if (flags.eval) with_context("--eval", [&] { read_errors(*flags.eval, model, choice); });
  const std::vector<std::string> warnings = stacks::export_recipe(kind, model, choice, flags.out);
  for (const std::string& warning : warnings) spdlog::warn("{}", warning);
  say("{}: {:.4f} bits per weight, for {}; how to apply it: {}/README.md\n", flags.out,
      stacks::effective_bits(model, choice.formats), stacks::name(kind), flags.out);
}

}  // namespace

void add_export(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("export", "Write a recipe in the form that a serving stack or another tool reads");
  auto values = std::make_shared<ExportFlags>();
  Flags flags(*command);
  flags.add_argument("recipe", "RECIPE", values->recipe, "Recipe: a file of rules, as qsweep eval reads it");
  flags.add("run", values->run, "Folder of a run, or its scores.json, that lists the model's ops")
      ->check(path())
      ->required();
  flags.add("kind", values->kind, "What reads it: " + stacks::names_of(stacks::all_kinds()))->required();
  flags.add("out", values->out, "Folder to write, which must not exist yet")->check(path())->required();
  flags.add("eval", values->eval, "Folder of an evaluation of the recipe, whose errors README.md then names");
  command->callback([values] { run(*values); });
}

}  // namespace qsweep::cli
