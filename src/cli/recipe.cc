#include "recipe/recipe.h"

#include <charconv>
#include <filesystem>
#include <set>

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "base/limits.h"
#include "choose/spectrum.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "compare/run.h"
#include "io/atomic_file.h"
#include "report/recipes.h"
#include "scores/op_names.h"
#include "scores/schema.h"
#include "scores/sketches.h"
#include "stacks/stacks.h"

namespace qsweep::cli {
namespace {

struct RecipeFlags {
  std::string run, out, group = "fused";
  std::vector<std::string> bits, size, error, formats, fix, keep_float;
  std::optional<std::string> metric;
  std::vector<std::string> stacks, exports;
  uint64_t seed = 1;
  OutputFlags output;
};

double read_number(const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, status] = std::from_chars(text.data(), end, number);
  if (status != std::errc() || rest != end || !(number > 0) || !(number < 1e15))
    fail("expected a number above 0, found \"{}\"", text);
  return number;
}
double read_size(const std::string& text) { return static_cast<double>(parse_bytes(text)); }

std::vector<choose::Budget> budgets_of(const RecipeFlags& flags) {
  std::vector<choose::Budget> budgets;
  const auto add = [&](choose::Limit limit, const std::vector<std::string>& texts, auto read) {
    for (const std::string& text : texts)
      with_context("--" + std::string(name(limit)), [&] {
        for (choose::Budget& budget : choose::parse_budgets(limit, text, read))
          budgets.push_back(std::move(budget));
      });
  };
  add(choose::Limit::bits, flags.bits, read_number);
  add(choose::Limit::size, flags.size, read_size);
  add(choose::Limit::error, flags.error, read_number);
  if (budgets.empty()) fail("expected one of --bits, --size and --error, found none");
  return budgets;
}

std::vector<stacks::Kind> kinds_of(const char* flag, const std::vector<std::string>& names) {
  std::vector<stacks::Kind> kinds;
  for (const std::string& name : names)
    kinds.push_back(with_context(flag, [&] { return stacks::parse_kind(name); }));
  return kinds;
}

// What one of the stacks refuses; what is exported is for that stack too.
choose::Refusal refusal_of(const RecipeFlags& flags, const scores::Run& run) {
  std::vector<stacks::Kind> kinds = kinds_of("--stack", flags.stacks);
  for (const stacks::Kind kind : kinds_of("--export", flags.exports)) kinds.push_back(kind);
  if (kinds.empty()) return {};
  return [kinds, model = stacks::model_of(run)](const scores::OpRecord& op, const quant::Format* format) {
    std::optional<std::string> why;
    for (size_t i = 0; i < kinds.size() && !why; ++i) why = stacks::refusal(kinds[i], model, op, format);
    return why;
  };
}

choose::Wishes wishes_of(const RecipeFlags& flags, const scores::Run& run) {
  choose::Wishes wishes{.metric = run.ranking_metric, .formats = flags.formats};
  if (flags.metric)
    wishes.metric = with_context("--metric", [&] { return scores::parse_metric(*flags.metric); });
  wishes.grouping = with_context("--group", [&] { return choose::parse_grouping(flags.group); });
  for (const std::string& text : flags.fix) {
    const size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0)
      fail("--fix: expected GLOB=FORMAT, such as '*.down_proj=w8a16', found \"{}\"", text);
    const std::string format = text.substr(equals + 1);
    wishes.fixed.push_back(
        {.pattern = text.substr(0, equals),
         .format =
             format == "float" ? nullptr : with_context("--fix", [&] { return &quant::find_format(format); }),
         .flag = "--fix"});
  }
  for (const std::string& pattern : flags.keep_float)
    wishes.fixed.push_back({.pattern = pattern, .format = nullptr, .flag = "--keep-float"});
  wishes.refusal = refusal_of(flags, run);
  return wishes;
}

// Of all the run's samples, where it has sketches of the metric.
std::optional<scores::Interactions> interactions_of(const scores::Run& scored, const std::string& run,
                                                    scores::Metric metric) {
  const std::string folder = std::filesystem::absolute(compare::scores_file(run)).parent_path().string();
  const std::optional<scores::Sketches> sketches = scores::read_sketches(scored, folder);
  if (!sketches || sketches->which() != metric.which) return std::nullopt;
  return sketches->interactions(metric.scope, Threads{usable_processors()});
}

// The folders of the exports, KIND or KIND_RECIPE; their names.
std::vector<std::string> write_exports(const RecipeFlags& flags, const scores::Run& run,
                                       const choose::Spectrum& spectrum, scores::Metric metric,
                                       const std::string& folder) {
  const stacks::Model model = stacks::model_of(run);
  std::vector<std::string> names;
  std::set<std::string> warnings;
  for (const stacks::Kind kind : kinds_of("--export", flags.exports))
    for (const choose::Chosen& chosen : spectrum.recipes) {
      stacks::Choice choice{.name = chosen.name, .metric = name(metric), .predicted = chosen.predicted};
      for (const scores::OpRecord& op : run.ops) {
        const auto format = chosen.formats.find(op.name);
        choice.formats.push_back(format == chosen.formats.end() ? nullptr
                                                                : &quant::find_format(format->second));
      }
      names.push_back(spectrum.recipes.size() == 1 ? std::string(name(kind))
                                                   : fmt::format("{}_{}", name(kind), chosen.name));
      for (std::string& warning : stacks::export_recipe(kind, model, choice, folder + "/" + names.back()))
        if (warnings.insert(warning).second) spdlog::warn("{}", warning);
    }
  return names;
}

// All files, or none: the folder takes its name when they are there. Their names in it.
std::vector<std::string> write_recipes(const RecipeFlags& flags, const scores::Run& run,
                                       const choose::Spectrum& spectrum, scores::Metric metric,
                                       const io::Json& settings) {
  io::AtomicFolder folder(flags.out);
  std::vector<std::string> files;
  const auto write = [&](const std::string& file, const std::string& text) {
    io::write_file_atomically(folder.path() + "/" + file, text);
    files.push_back(file);
  };
  write("recipes.md", report::recipes_markdown(run, spectrum, metric));
  write("recipes.json", scores::to_text(report::recipes_json(run, spectrum, metric, settings)));
  if (const std::string picture = report::pareto_svg(spectrum, metric); !picture.empty())
    write("recipes.svg", picture);
  for (const choose::Chosen& chosen : spectrum.recipes)
    write(report::recipe_file(spectrum, chosen),
          recipe::to_text(recipe::recipe_of(chosen.name, chosen.formats, scores::names_of(run.ops))));
  for (std::string& exported : write_exports(flags, run, spectrum, metric, folder.path()))
    files.push_back(std::move(exported));
  folder.commit();
  return files;
}

io::Json recipe_summary(const RecipeFlags& flags, const choose::Spectrum& spectrum, scores::Metric metric,
                        const std::vector<std::string>& files) {
  io::Json paths = io::Json::array(), recipes = io::Json::array();
  for (const std::string& file : files) paths.push_back(valid_utf8(flags.out + "/" + file));
  for (const choose::Chosen& chosen : spectrum.recipes)
    recipes.push_back(
        {{"name", chosen.name},
         {"effective_bits", chosen.effective_bits},
         {"checkpoint_bytes", chosen.checkpoint_bytes ? io::Json(*chosen.checkpoint_bytes) : io::Json()},
         {"predicted", chosen.predicted}});
  return {{"schema", "qsweep.summary/1"},
          {"command", "recipe"},
          {"files", std::move(paths)},
          {"metric", name(metric)},
          {"recipes", std::move(recipes)}};
}

void run(const RecipeFlags& flags, const io::Json& settings) {
  const Output output(flags.output);
  if (std::filesystem::exists(flags.out))
    fail("--out: {}: expected a new folder, found one that exists", flags.out);
  const std::vector<choose::Budget> budgets = budgets_of(flags);
  const scores::Run scored = compare::read_run(flags.run);
  const choose::Wishes wishes = wishes_of(flags, scored);
  const choose::Spectrum spectrum = with_context(flags.run, [&] {
    return choose::choose(scored, wishes, budgets, interactions_of(scored, flags.run, wishes.metric),
                          flags.seed);
  });
  const std::vector<std::string> files =
      with_context("--out", [&] { return write_recipes(flags, scored, spectrum, wishes.metric, settings); });
  for (const std::string& note : report::recipe_notes(scored, spectrum)) output.say("{}\n", note);
  output.say("{}", report::recipe_lines(spectrum, wishes.metric));
  output.say("{0}/recipes.md  {0}/recipes.json  {0}/{1}\n", flags.out,
             spectrum.recipes.size() == 1 ? "recipe.json" : "recipe_*.json");
  output.result(recipe_summary(flags, spectrum, wishes.metric, files));
}

void add_limits(Flags& flags, RecipeFlags& values) {
  flags
      .add("bits", values.bits,
           "Most mean effective bits per weight of all ops, scales included, float ops at 16: 4.5, a list "
           "4.5,5, or "
           "a range 4.5..8:0.25; a recipe for each")
      ->delimiter(',');
  flags
      .add("size", values.size,
           "Most bytes of the whole checkpoint, such as 2.1G: the ops' weights as stored, all else as it is; "
           "lists "
           "and ranges as of --bits")
      ->delimiter(',');
  flags
      .add("error", values.error,
           "Most predicted error per position, of --metric, for the fewest bits; without sketches by the "
           "plain sum of scores; lists and ranges as of "
           "--bits")
      ->delimiter(',');
}

}  // namespace

void add_recipe(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "recipe", "Choose a format for every op within a budget, from the scores of a run: recipes for `eval`");
  auto values = std::make_shared<RecipeFlags>();
  auto flags = std::make_shared<Flags>(*command);
  flags->add_argument("run", "RUN", values->run, "Folder of a run of `score`, or its scores.json");
  add_limits(*flags, *values);
  flags
      ->add("formats", values->formats,
            "Formats to choose from beside float, separated by commas; all that RUN has "
            "scores in where not given")
      ->delimiter(',');
  flags
      ->add("group", values->group,
            "Ops that take one format together: fused (as serving stacks store them), op, block or role")
      ->capture_default_str();
  flags->add("fix", values->fix,
             "Give the ops of a pattern this format: 'GLOB=FORMAT'; repeats, later ones override");
  flags->add("keep-float", values->keep_float, "Keep the ops of a pattern in float; repeats");
  flags->add("stack", values->stacks,
             fmt::format("Choose only what this stack can have, op by op: {}; repeats",
                         stacks::names_of(stacks::all_kinds())));
  flags->add(
      "export", values->exports,
      "Write every recipe for this stack too, in a folder KIND of --out (of several budgets, one each), and "
      "choose what it can have; repeats");
  flags->add("metric", values->metric,
             "Metric of the errors, such as kl:answer; what RUN ranks by where not given");
  flags->add("seed", values->seed, "Seed of the search by pairs")->capture_default_str();
  flags
      ->add("out", values->out,
            "New folder for recipe.json (of several budgets, one each), recipes.json and recipes.md")
      ->check(path())
      ->required();
  add_output_flags(*flags, values->output);
  command->callback([values, flags] { run(*values, flags->settings()); });
}

}  // namespace qsweep::cli
