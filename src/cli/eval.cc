#include "report/eval.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "base/readable.h"
#include "cli/commands.h"
#include "cli/program.h"
#include "cli/run_script.h"
#include "recipe/recipe.h"
#include "report/page.h"
#include "report/time.h"
#include "scores/files.h"
#include "scores/op_names.h"
#include "scores/sketches.h"
#include "sweep/evaluate.h"
#include "sweep/records.h"

namespace qsweep::cli {
namespace {

// The folder may be that of the scores.
const JobFiles kEvalFiles{.journal = "eval_journal.sqlite",
                          .results = "eval.json",
                          .others = {"eval.csv", "eval.md", "report.html"}};

struct EvalFlags {
  EngineFlags engine;
  std::vector<std::string> recipe;
  std::string scores;
  std::vector<std::string> fail_above;
  JobFlags job;
};

std::vector<sweep::RecipeFormats> read_recipes(const std::vector<std::string>& paths,
                                               const models::Model& model) {
  const std::vector<std::string> names = scores::names_of(sweep::op_records(model));
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

// Whether a recipe says something of the model's caches.
bool name_caches(const std::vector<std::string>& recipes) {
  const auto names_one = [](const recipe::Rule& rule) {
    return (rule.format != nullptr && rule.format->of_caches) || scores::names_cache(rule.ops);
  };
  return std::ranges::any_of(recipes, [&](const std::string& path) {
    const recipe::Recipe r = with_context("--recipe", [&] { return recipe::read_recipe(path); });
    return std::ranges::any_of(r.rules, names_one);
  });
}

// The scores of another run, which must be those of this model.
scores::Run read_scored(const std::string& folder, const scores::ModelInfo& model) {
  scores::Run scored = with_context("--scores", [&] { return scores::read_scores(folder); });
  expect_scores_of(scored, model, "--scores", folder);
  if (scores::predict_all(scored, {}).empty())
    fail("--scores: {}: expected isolated scores of the output's error, found none", folder);
  return scored;
}

// What the scores foretold.
void predict(scores::EvalRun& run, const scores::Run& scored, const std::string& folder, Threads threads) {
  std::vector<scores::MetricInteractions> pairs;
  if (const auto sketches = with_context("--scores", [&] { return scores::read_sketches(scored, folder); }))
    pairs = sketches->interactions(threads);
  for (scores::EvalRecipe& recipe : run.recipes) {
    std::map<std::string, std::string> exercised = recipe.ops;  // the others change nothing here
    for (const std::string& op : recipe.unexercised) exercised.erase(op);
    recipe.predicted = scores::predict_all(scored, exercised, pairs);
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
  if (!recipe.mixed_groups.empty()) {
    std::vector<std::string> groups;
    for (const auto& [group, members] : recipe.mixed_groups) groups.push_back(group);
    spdlog::warn(
        "{}: several formats in {}, which vLLM and TensorRT-LLM store as one op and refuse; eval.md has them",
        recipe.name, fmt::join(groups, ", "));
  }
  if (!recipe.total) spdlog::warn("{}: the output overflowed or became NaN", recipe.name);
}

// Of a metric per position, beyond which a recipe is not good enough.
struct Limit {
  scores::Metric metric;
  double value = 0;
};

Limit parse_limit(const std::string& text) {
  const size_t equals = std::min(text.find('='), text.size());
  const std::string metric = text.substr(0, equals);
  const std::optional<double> value = number_of(text.substr(std::min(equals + 1, text.size())));
  const auto known = std::ranges::find_if(scores::kAllMetrics, [&](scores::Metric m) {
    return name(m) == metric || (m.scope == scores::Scope::all && name(m.which) == metric);
  });
  if (!value || !(*value >= 0) || known == scores::kAllMetrics.end())
    fail(
        "--fail-above: expected METRIC=VALUE per position, such as kl=0.05, kl:answer=0.1 or "
        "top1_flips=0.02, found \"{}\"",
        text);
  return {.metric = *known, .value = *value};
}

std::vector<Limit> limits_of(const EvalFlags& flags, const std::vector<models::Sample>& data) {
  std::vector<Limit> limits;
  for (const std::string& text : flags.fail_above) {
    limits.push_back(parse_limit(text));
    with_context("--fail-above", [&] { check_metric(limits.back().metric, data); });
  }
  return limits;
}

// In which limits the recipe exceeds, in words; a value that is no number exceeds all.
std::vector<std::string> above(const scores::EvalRecipe& recipe, const std::vector<Limit>& limits) {
  std::vector<std::string> sentences;
  for (const Limit& limit : limits) {
    const double value = recipe.total ? recipe.per_position(limit.metric) : std::nan("");
    if (!(value <= limit.value))
      sentences.push_back(
          fmt::format("{} per position is {:.3g}, above {:.3g}", name(limit.metric), value, limit.value));
  }
  return sentences;
}

std::string per_position(const scores::Prediction* predicted) {
  const bool known = predicted != nullptr && predicted->best() && predicted->positions > 0;
  return known ? fmt::format("{:.3g}", *predicted->best() / static_cast<double>(predicted->positions)) : "-";
}

void print_summary(const Output& output, const scores::EvalRun& run, const std::string& out) {
  const scores::Metric metric = run.ranking_metric;
  const bool foretold = std::any_of(run.recipes.begin(), run.recipes.end(),
                                    [](const scores::EvalRecipe& r) { return !r.predicted.empty(); });
  output.say("{:<32} {:>15} {:>24}{}\n", "recipe", "bits per weight", name(metric) + " per position",
             foretold ? fmt::format(" {:>12}", "predicted") : "");
  for (const scores::EvalRecipe& recipe : run.recipes) {
    const scores::Prediction* predicted = recipe.prediction(metric);
    output.say("{:<32} {:>15.2f} {:>24}{}\n", recipe.name, recipe.effective_bits,
               recipe.total ? fmt::format("{:.3g}", recipe.per_position(metric)) : "-",
               foretold ? fmt::format(" {:>12}", per_position(predicted)) : "");
    warn_of(recipe, predicted);
  }
  output.say("{}\n", report::time_line(run.provenance));
  output.say("{0}/eval.md  {0}/report.html  {0}/eval.json  {0}/eval.csv\n", out);
}

io::Json eval_summary(const scores::EvalRun& run, const std::vector<Limit>& limits, const std::string& out) {
  const scores::Metric metric = run.ranking_metric;
  io::Json recipes = io::Json::array();
  for (const scores::EvalRecipe& recipe : run.recipes) {
    const scores::Prediction* predicted = recipe.prediction(metric);
    const bool foretold = predicted != nullptr && predicted->best() && predicted->positions > 0;
    recipes.push_back(
        {{"name", recipe.name},
         {"effective_bits", recipe.effective_bits},
         {"value", recipe.total ? io::Json(recipe.per_position(metric)) : io::Json()},
         {"predicted",
          foretold ? io::Json(*predicted->best() / static_cast<double>(predicted->positions)) : io::Json()},
         {"mixed_groups", recipe.mixed_groups.size()},
         {"above_limit", above(recipe, limits)}});
  }
  io::Json files = io::Json::array();
  for (const char* file : {"eval.md", "report.html", "eval.json", "eval.csv"})
    files.push_back(valid_utf8(out + "/" + file));
  return {{"schema", "qsweep.summary/1"},
          {"command", "eval"},
          {"files", std::move(files)},
          {"metric", name(metric)},
          {"recipes", std::move(recipes)}};
}

void check_limits(const scores::EvalRun& run, const std::vector<Limit>& limits) {
  std::vector<std::string> all;
  for (const scores::EvalRecipe& recipe : run.recipes)
    for (const std::string& sentence : above(recipe, limits)) all.push_back(recipe.name + ": " + sentence);
  if (!all.empty()) throw Ending(kAboveLimit, fmt::format("--fail-above: {}", fmt::join(all, "; ")));
}

// What the evaluation reads beside model and data.
std::vector<NamedFile> files_read(const EvalFlags& flags) {
  std::vector<NamedFile> files;
  for (const std::string& recipe : flags.recipe) files.push_back({"a file of --recipe", recipe});
  if (!flags.scores.empty()) files.push_back({"scores.json of --scores", flags.scores + "/scores.json"});
  return files;
}

class Evaluating : public Question {
 public:
  // All must outlive it.
  Evaluating(RunScript& script, const EvalFlags& flags, const scores::Metric& metric)
      : script_(script),
        flags_(flags),
        metric_(metric),
        limits_(limits_of(flags, engine().data)),
        evaluation_({.model = engine().model,
                     .devices = *engine().devices,
                     .data = engine().data,
                     .calibration = engine().calibration_data(),
                     .strict = flags.engine.precision == "strict",
                     .memory_bytes = parse_bytes(flags.engine.memory)},
                    read_recipes(flags.recipe, engine().model)) {
    if (!flags.scores.empty()) scored_ = read_scored(flags.scores, script.model());
  }

  void keep(io::Journal& journal) override { evaluation_.keep({.journal = &journal}); }
  void prepare() override { evaluation_.prepare(); }
  std::vector<schedule::ProductShape> main_products() const override { return evaluation_.main_products(); }
  const sweep::RunReport& report() const override { return evaluation_.report(); }
  int64_t planned_bytes() const override { return evaluation_.report().planned_bytes(); }

  void announce(std::span<const sweep::MeasuredProduct> rates) override {
    seconds_ = evaluation_.forecast_s(rates);
    const size_t recipes = flags_.recipe.size();
    script_.output().say("{}: {} recipe{}; {} on this machine\nmemory plan: {}\n", engine().model.family,
                         recipes, recipes == 1 ? "" : "s", about(seconds_), describe(evaluation_.plan()));
  }
  io::Json announcement() const override {
    return {{"schema", "qsweep.summary/1"},
            {"command", "eval"},
            {"dry_run", true},
            {"seconds", seconds_},
            {"plan", plan_json(evaluation_.plan())}};
  }

  void answer() override {
    result_ =
        script_.measure(*this, [&](const auto& progress) { return evaluation_.run(metric_, progress); });
    if (scored_) predict(result_, *scored_, flags_.scores, engine().devices->first().device().threads);
    scores::write_eval(result_, flags_.job.out);
    report::write_eval_report(result_, flags_.job.out);
    report::write_page({.run = scored_ ? &*scored_ : nullptr, .eval = &result_}, flags_.job.out);
  }
  void conclude() override {
    print_summary(script_.output(), result_, flags_.job.out);
    tell(result_);
  }
  void conclude_earlier() override { tell(scores::read_eval(flags_.job.out)); }

 private:
  const Engine& engine() const { return script_.engine(); }
  // What programs are told, and whether the recipes are good enough.
  void tell(const scores::EvalRun& run) const {
    script_.output().result(eval_summary(run, limits_, flags_.job.out));
    check_limits(run, limits_);
  }

  RunScript& script_;
  const EvalFlags& flags_;
  const scores::Metric& metric_;
  std::vector<Limit> limits_;
  sweep::Evaluation evaluation_;
  std::optional<scores::Run> scored_;
  double seconds_ = 0;
  scores::EvalRun result_;
};

void run(EvalFlags& flags, const std::function<io::Json()>& settings) {
  RunScript script(flags.engine, flags.job, kEvalFiles, settings);
  const scores::Metric metric =
      with_context("--metric", [&] { return scores::parse_metric(flags.engine.metric); });
  flags.engine.caches = name_caches(flags.recipe);
  script.open(metric, files_read(flags));
  Evaluating evaluating(script, flags, metric);
  script.run(evaluating, flags.recipe);
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
            "\"format\": NAME}, ...]}; later rules override, other ops stay float")
      ->check(path())
      ->required();
  flags->add("scores", values->scores, "Folder of a run of `score`, to predict from")->check(path());
  flags->add("fail-above", values->fail_above,
             "End with exit code 3 where a recipe's METRIC per position is above this, METRIC=VALUE: such as "
             "kl=0.05, kl:answer=0.1, top1_flips=0.02; repeats");
  add_out_flag(*flags, values->job, "Folder for eval.json, eval.csv and eval.md");
  add_job_flags(*flags, values->engine, values->job, "Only show the memory plan");
  command->callback([values, flags] { run(*values, [flags] { return flags->settings(); }); });
}

}  // namespace qsweep::cli
