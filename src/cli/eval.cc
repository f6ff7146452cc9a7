#include "report/eval.h"

#include <algorithm>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "cli/commands.h"
#include "cli/identity.h"
#include "cli/progress.h"
#include "cli/provenance.h"
#include "io/atomic_file.h"
#include "io/sha256.h"
#include "recipe/recipe.h"
#include "report/time.h"
#include "scores/files.h"
#include "sweep/evaluate.h"

namespace qsweep::cli {
namespace {

constexpr const char* kJournalFile = "/eval_journal.sqlite";  // the folder may be that of the scores

struct EvalFlags {
  EngineFlags engine;
  std::vector<std::string> recipe;
  std::string scores;
  std::string out;
  bool resume = false;
  bool dry_run = false;
};

std::vector<sweep::RecipeFormats> read_recipes(const std::vector<std::string>& paths,
                                               const models::Model& model) {
  std::vector<std::string> names;
  for (const graph::LinearOp& op : model.ops) names.push_back(op.name);
  std::vector<sweep::RecipeFormats> recipes;
  std::set<std::string> seen;
  for (const std::string& path : paths) {
    const recipe::Recipe r = with_context("--recipe", [&] { return recipe::read_recipe(path); });
    if (!seen.insert(r.name).second)
      fail("--recipe: {}: the name \"{}\" is taken by another recipe", path, r.name);
    recipes.push_back(
        {r.name, r.file_name, with_context("--recipe", [&] { return recipe::formats_of(r, names); })});
  }
  return recipes;
}

// The scores of another run, which must be those of this model.
scores::Run read_scored(const std::string& folder, const scores::ModelInfo& model) {
  scores::Run scored = with_context("--scores", [&] { return scores::read_scores(folder); });
  if (scored.model.weights_sha256_of_headers != model.weights_sha256_of_headers)
    fail("--scores: {}: expected scores of {} (headers {:.8}), found those of {} (headers {:.8})", folder,
         model.path_name, model.weights_sha256_of_headers, scored.model.path_name,
         scored.model.weights_sha256_of_headers);
  if (scores::predict_all(scored, {}).empty())
    fail("--scores: {}: expected isolated scores of the output's error, found none", folder);
  return scored;
}

// The settings that measured values depend on: recipes by content, and not what the scores foretell.
io::Json of_recipes(io::Json settings, const std::vector<std::string>& paths) {
  settings.erase("scores");
  settings["recipe"] = io::Json::array();
  for (const std::string& path : paths) settings["recipe"].push_back(io::sha256_hex_of_file(path));
  return settings;
}

// What the scores foretold.
void predict(scores::EvalRun& run, const scores::Run& scored) {
  for (scores::EvalRecipe& recipe : run.recipes) {
    std::map<std::string, std::string> exercised = recipe.ops;  // the others change nothing here
    for (const std::string& op : recipe.unexercised) exercised.erase(op);
    recipe.predicted = scores::predict_all(scored, exercised);
  }
}

// Warnings that the user should see at once; the report has them too.
void warn_of(const scores::EvalRecipe& recipe, const scores::Prediction* predicted) {
  const auto warn = [&](size_t ops, const char* of_them) {
    if (ops > 0) spdlog::warn("{}: {} op{} {}", recipe.name, ops, ops == 1 ? "" : "s", of_them);
  };
  warn(recipe.uncalibrated.size(), "that no calibration sample reaches, left in float");
  warn(recipe.unexercised.size(), "that no sample reaches: their effect is not measured");
  if (predicted != nullptr) warn(predicted->missing.size(), "without a score, left out of the prediction");
  if (!recipe.total) spdlog::warn("{}: the output overflowed or became NaN", recipe.name);
}

std::string per_position(const scores::Prediction* predicted) {
  const bool known = predicted != nullptr && predicted->corrected && predicted->positions > 0;
  return known ? fmt::format("{:.3g}", *predicted->corrected / static_cast<double>(predicted->positions))
               : "-";
}

void print_summary(const scores::EvalRun& run, const std::string& out) {
  const scores::Metric metric = run.ranking_metric;
  const bool foretold = std::any_of(run.recipes.begin(), run.recipes.end(),
                                    [](const scores::EvalRecipe& r) { return !r.predicted.empty(); });
  fmt::print("{:<32} {:>15} {:>24}{}\n", "recipe", "bits per weight", name(metric) + " per position",
             foretold ? fmt::format(" {:>12}", "predicted") : "");
  for (const scores::EvalRecipe& recipe : run.recipes) {
    const scores::Prediction* predicted = recipe.prediction(metric);
    fmt::print("{:<32} {:>15.2f} {:>24}{}\n", recipe.name, recipe.effective_bits,
               recipe.total ? fmt::format("{:.3g}", recipe.per_position(metric)) : "-",
               foretold ? fmt::format(" {:>12}", per_position(predicted)) : "");
    warn_of(recipe, predicted);
  }
  fmt::print("{}\n", report::time_line(run.provenance));
  fmt::print("{0}/eval.md  {0}/eval.json  {0}/eval.csv\n", out);
}

void run(EvalFlags& flags, const std::function<io::Json()>& settings) {
  const auto start = Clock::now();
  Tracing tracing(flags.engine.trace);
  std::optional<io::Journal> journal;
  if (flags.resume) journal = reopen_journal(flags.out + kJournalFile, flags.engine);
  Gpus gpus = flags.engine.resolve();
  const scores::Metric metric =
      with_context("--metric", [&] { return scores::parse_metric(flags.engine.metric); });
  Engine engine = open_engine(flags.engine, std::move(gpus));
  check_metric(metric, engine.data);
  Provenance provenance(engine, flags.engine, tracing.recorder(), start);
  const bool strict = flags.engine.precision == "strict";
  sweep::Evaluation evaluation({.model = engine.model,
                                .devices = *engine.devices,
                                .data = engine.data,
                                .calibration = engine.calibration_data(),
                                .strict = strict,
                                .memory_bytes = parse_bytes(flags.engine.memory)},
                               read_recipes(flags.recipe, engine.model));
  std::optional<scores::Run> scored;
  if (!flags.scores.empty()) scored = read_scored(flags.scores, provenance.model());
  const io::Json self = identity(engine, flags.engine, of_recipes(settings(), flags.recipe));
  if (journal && is_finished(*journal, self, flags.out + "/eval.json")) return;
  if (journal) evaluation.keep({.journal = &*journal});
  evaluation.prepare();
  fmt::print("{}: {} recipe{}\nmemory plan: {}\n", engine.model.family, flags.recipe.size(),
             flags.recipe.size() == 1 ? "" : "s", describe(evaluation.plan()));
  if (flags.dry_run) return tracing.finish();
  with_context("--out", [&] { io::ensure_folder(flags.out); });
  tracing.open();
  if (!journal) {
    journal = io::Journal::create(flags.out + kJournalFile, self);
    evaluation.keep({.journal = &*journal});
  }
  provenance.measure_rates(evaluation.main_products(), evaluation.plan());
  scores::EvalRun result;
  {
    ProgressBar bar;
    result = evaluation.run(metric, [&](const sweep::Progress& p) {
      bar.update(p.done_flops, p.total_flops, p.what, p.earlier_flops);
    });
  }
  result.model = provenance.model();
  provenance.complete(result.data);
  if (scored) predict(result, *scored);
  const io::Json resolved = result.settings;
  result.settings = settings();
  result.settings.update(resolved);
  result.provenance = provenance.json(evaluation.report(), evaluation.plan().peak_bytes());
  scores::write_eval(result, flags.out);
  report::write_eval_report(result, flags.out);
  journal->finish();
  tracing.finish();
  print_summary(result, flags.out);
}

}  // namespace

void add_eval(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "eval",
      "Evaluate recipes: the output error of several ops quantized together, beside what scores predict");
  auto values = std::make_shared<EvalFlags>();
  auto flags = std::make_shared<Flags>(*command);
  add_engine_flags(*flags, values->engine);
  command->get_option("--data")->required();
  flags
      ->add("recipe", values->recipe,
            "File of a recipe, repeated for several: {\"name\": ..., \"rules\": [{\"ops\": PATTERN, "
            "\"format\": "
            "NAME}, ...]}; later rules override, other ops stay float")
      ->check(path())
      ->required();
  flags->add("scores", values->scores, "Folder of a run of `score`, to predict from")->check(path());
  flags->add("out", values->out, "Folder for eval.json, eval.csv and eval.md")->required();
  flags->add_switch("resume", values->resume, kResumeHelp);
  add_trace_flag(*flags, values->engine.trace);
  flags->add_switch("dry-run", values->dry_run, "Only show the memory plan");
  command->callback([values, flags] { run(*values, [flags] { return flags->settings(); }); });
}

}  // namespace qsweep::cli
