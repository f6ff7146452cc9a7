#include <filesystem>

#include "cli/commands.h"
#include "cli/recipe_files.h"
#include "cli/recipe_measure.h"
#include "io/atomic_file.h"
#include "report/recipes.h"

namespace qsweep::cli {
namespace {

void choose_recipes(const RecipeFlags& flags, const io::Json& settings) {
  const Output output(flags.job.output);
  const std::string& out = flags.job.out;
  const ScoredRun scored(flags);
  const std::vector<choose::Budget> budgets = budgets_of(flags);
  const choose::Spectrum spectrum = with_context(flags.run, [&] {
    return choose::choose(scored.run, scored.wishes, budgets, scored.interactions(), flags.seed);
  });
  const scores::Metric metric = scored.wishes.metric;
  const io::Json json = report::recipes_json(scored.run, spectrum, metric, settings);
  with_context("--out", [&] {
    io::AtomicFolder folder(out);
    write_recipes(flags, scored.run, spectrum, metric, json, folder.path());
    folder.commit();
  });
  tell_recipes(output, out, scored.run, spectrum, metric, json);
}

// Error where --out has anything but the journal of a search that was ended.
void check_new(const std::string& out) {
  std::error_code error;
  if (!std::filesystem::exists(out, error)) return;
  if (!std::filesystem::is_directory(out, error)) fail("--out: {}: expected a new folder, found a file", out);
  for (const auto& entry : std::filesystem::directory_iterator(out))
    if (!entry.path().filename().string().starts_with(kRecipeJournal))
      fail("--out: {}: expected a new folder, found one with files", out);
}

void run(RecipeFlags& flags, const std::function<io::Json()>& settings) {
  if (!flags.job.resume) check_new(flags.job.out);
  if (flags.engine.model.empty())
    choose_recipes(flags, settings());
  else
    search_recipes(flags, settings);
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
      ->add("out", values->job.out,
            "New folder for recipe.json (of several budgets, one each), recipes.json, recipes.md and "
            "report.html")
      ->check(path())
      ->required();
  add_output_flags(*flags, values->job.output);
  CLI::Option* measure = flags
                             ->add("measure", values->engine.model,
                                   "Folder of the checkpoint that RUN is of: measure the best candidates of "
                                   "every budget on --data, "
                                   "learn from their errors, and choose among them")
                             ->check(path());
  auto measuring = std::make_shared<Flags>(*command);
  const size_t before = command->get_options().size();
  add_measuring_flags(*measuring, *values);
  const auto options = command->get_options();
  for (size_t i = before; i < options.size(); ++i) options[i]->needs(measure);
  measure->needs(command->get_option("--data"));
  command->callback([values, flags, measuring] {
    run(*values, [&] {
      io::Json settings = flags->settings();
      if (!values->engine.model.empty()) settings.update(measuring->settings());
      return settings;
    });
  });
}

}  // namespace qsweep::cli
