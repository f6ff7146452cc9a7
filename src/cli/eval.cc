#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/provenance.h"
#include "io/atomic_file.h"
#include "recipe/recipe.h"
#include "report/eval.h"
#include "scores/files.h"
#include "sweep/evaluate.h"

namespace qsweep::cli {
namespace {

struct EvalFlags {
  EngineFlags engine;
  std::vector<std::string> recipe;
  std::string scores;
  std::string out;
  bool dry_run = false;
};

std::vector<sweep::RecipeFormats> read_recipes(const std::vector<std::string>& paths, const models::Model& model) {
  std::vector<std::string> names;
  for (const graph::LinearOp& op : model.ops) names.push_back(op.name);
  std::vector<sweep::RecipeFormats> recipes;
  std::set<std::string> seen;
  for (const std::string& path : paths) {
    const recipe::Recipe r = with_context("--recipe", [&] { return recipe::read_recipe(path); });
    if (!seen.insert(r.name).second) fail("--recipe: {}: the name \"{}\" is taken by another recipe", path, r.name);
    recipes.push_back(
        {r.name, r.file_name, with_context("--recipe", [&] { return recipe::formats_of(r, names); })});
  }
  return recipes;
}

// What the scores of another run foretold; they must be those of this model.
void predict(scores::EvalRun& run, const std::string& folder) {
  const scores::Run scored = with_context("--scores", [&] { return scores::read_scores(folder); });
  if (scored.model.weights_sha256_of_headers != run.model.weights_sha256_of_headers)
    fail("--scores: {}: expected scores of {} (headers {:.8}), found those of {} (headers {:.8})", folder,
         run.model.path_name, run.model.weights_sha256_of_headers, scored.model.path_name,
         scored.model.weights_sha256_of_headers);
  for (scores::EvalRecipe& recipe : run.recipes) recipe.predicted = scores::predict_all(scored, recipe.ops);
}

void print_summary(const scores::EvalRun& run, const std::string& out) {
  const scores::Metric metric = run.ranking_metric;
  fmt::print("{:<32} {:>6} {:>12} {:>12}\n", "recipe", "bits", scores::name(metric), "predicted");
  for (const scores::EvalRecipe& recipe : run.recipes) {
    const scores::Prediction* predicted = recipe.prediction(metric);
    const bool known = predicted != nullptr && predicted->corrected && predicted->positions > 0;
    fmt::print("{:<32} {:>6.2f} {:>12.3g} {:>12}\n", recipe.name, recipe.effective_bits, recipe.per_position(metric),
               known ? fmt::format("{:.3g}", *predicted->corrected / static_cast<double>(predicted->positions)) : "-");
    if (!recipe.uncalibrated.empty())
      spdlog::warn("{}: no calibration sample reaches {} ops, which stay float", recipe.name,
                   recipe.uncalibrated.size());
  }
  fmt::print("{0}/eval.md  {0}/eval.json  {0}/eval.csv\n", out);
}

void run(EvalFlags& flags, const std::function<io::Json()>& settings) {
  const auto start = Clock::now();
  flags.engine.resolve();
  const scores::Metric metric =
      with_context("--metric", [&] { return scores::parse_metric(flags.engine.metric); });
  Engine engine = open_engine(flags.engine);
  check_metric(metric, engine.data);
  const Provenance provenance(engine, flags.engine, start);
  const bool strict = flags.engine.precision == "strict";
  sweep::Evaluation evaluation({.model = engine.model,
                                .ops = *engine.context,
                                .data = engine.data,
                                .calibration = engine.calibration_data(),
                                .strict = strict,
                                .memory_bytes = parse_bytes(flags.engine.memory)},
                               read_recipes(flags.recipe, engine.model));
  evaluation.prepare();
  fmt::print("{}: {} recipe{}\n{}\n", engine.model.family, flags.recipe.size(), flags.recipe.size() == 1 ? "" : "s",
             describe(evaluation.plan()));
  if (flags.dry_run) return;
  with_context("--out", [&] { io::ensure_folder(flags.out); });
  const double rate = measured_rate(engine, strict, flags.recipe.size());
  scores::EvalRun result;
  {
    ProgressBar bar;
    result = evaluation.run(metric,
                            [&](const sweep::Progress& p) { bar.update(p.done_flops, p.total_flops, p.what); });
  }
  result.model = provenance.model();
  provenance.complete(result.data);
  if (!flags.scores.empty()) predict(result, flags.scores);
  const io::Json resolved = result.settings;
  result.settings = settings();
  result.settings.update(resolved);
  result.provenance = provenance.json(evaluation.report(), evaluation.plan().peak_bytes(), rate);
  scores::write_eval(result, flags.out);
  report::write_eval_report(result, flags.out);
  print_summary(result, flags.out);
}

}  // namespace

void add_eval(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "eval", "Evaluate recipes: the output error of several ops quantized together, beside what scores predict");
  auto values = std::make_shared<EvalFlags>();
  auto flags = std::make_shared<Flags>(*command);
  add_engine_flags(*flags, values->engine);
  command->get_option("--data")->required();
  flags->add("recipe", values->recipe,
             "File of a recipe, repeated for several: {\"name\": ..., \"rules\": [{\"ops\": PATTERN, \"format\": "
             "NAME}, ...]}; later rules override, other ops stay float")
      ->required();
  flags->add("scores", values->scores, "Folder of a run of `score`, to predict from");
  flags->add("out", values->out, "Folder for eval.json, eval.csv and eval.md")->required();
  flags->add_switch("dry-run", values->dry_run, "Only show the memory plan");
  command->callback([values, flags] { run(*values, [flags] { return flags->settings(); }); });
}

}  // namespace qsweep::cli
