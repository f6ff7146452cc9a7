#include <algorithm>
#include <filesystem>

#include <spdlog/spdlog.h>

#include "cli/commands.h"
#include "cli/compare_recipes.h"
#include "cli/output.h"
#include "cli/outputs.h"
#include "compare/other.h"
#include "io/atomic_file.h"
#include "report/comparison.h"
#include "report/page.h"

namespace qsweep::cli {
namespace {

// The flags that choose scores in a file.
struct ChoiceFlags {
  std::optional<std::string> format, mode, method, metric;

  compare::Choice choice(const std::string& prefix) const {
    const auto parsed = [&](const std::optional<std::string>& text, const char* flag, auto parse) {
      using Value = decltype(parse(std::string_view()));
      if (!text) return std::optional<Value>();
      return with_context("--" + prefix + flag, [&] { return std::optional<Value>(parse(*text)); });
    };
    return {.format = format,
            .mode = parsed(mode, "mode", scores::parse_mode),
            .method = parsed(method, "method", scores::parse_method),
            .metric = parsed(metric, "metric", scores::parse_metric)};
  }
};

struct CompareFlags {
  std::string run, other;
  std::optional<std::string> recipes_of;  // the run of two recipes
  ChoiceFlags of_run, of_other;
  std::string out;
};

void print(const compare::Agreement& agreement) {
  say("RUN     {}: {}\nOTHER   {}: {}\n", agreement.run.source, agreement.run.what, agreement.other.source,
      agreement.other.what);
  for (const std::string& warning : agreement.warnings) spdlog::warn("{}: {}", agreement.run.what, warning);
  for (const std::string& note : report::comparison_notes(agreement)) say("{}\n", note);
  say("{} matched, {} only in RUN, {} only in OTHER, {} without a score on one side\n", agreement.all.units,
      agreement.only_in_run.size(), agreement.only_in_other.size(),
      agreement.unscored_in_run.size() + agreement.unscored_in_other.size());
  say("{}\n", report::agreement_text(agreement.all));
  if (agreement.distinguished)
    say("of the {} that both sides tell apart: {}\n", agreement.distinguished->units,
        report::agreement_text(*agreement.distinguished));
}

std::string folder_of(const std::string& run) {
  return std::filesystem::is_directory(run) ? run : std::filesystem::absolute(run).parent_path().string();
}

// The groups of RUN's scores that fit the choice; of several formats those that another run has too, if there
// are any.
std::vector<scores::ScoreGroup> groups_to_compare(const CompareFlags& flags, const scores::Run& run) {
  std::vector<scores::ScoreGroup> groups = compare::fitting_groups(run, flags.run, flags.of_run.choice(""));
  if (groups.size() == 1 || flags.of_other.format) return groups;
  const std::vector<std::string> theirs = compare::formats_of_run(flags.other);
  const auto shared = [&](const scores::ScoreGroup& group) {
    return std::find(theirs.begin(), theirs.end(), group.format) != theirs.end();
  };
  if (std::none_of(groups.begin(), groups.end(), shared)) return groups;
  for (const scores::ScoreGroup& group : groups)
    if (!shared(group)) spdlog::warn("{} is not compared: OTHER has no scores of it", group.format);
  std::erase_if(groups, [&](const scores::ScoreGroup& group) { return !shared(group); });
  return groups;
}

// RUN's ranking by each of these groups, beside OTHER's that is most like it.
std::vector<compare::Agreement> compare_each(const CompareFlags& flags, const scores::Run& run) {
  const compare::Choice ours = flags.of_run.choice("");
  compare::Choice theirs = flags.of_other.choice("other-");
  const scores::Metric metric = ours.metric.value_or(run.ranking_metric);
  theirs.metric = metric;
  std::vector<compare::Agreement> agreements;
  for (const scores::ScoreGroup& group : groups_to_compare(flags, run)) {
    const compare::Ranking other = compare::read_other(flags.other, theirs, group);
    const compare::Ranking ranking =
        compare::ranking_of(run, group, flags.run, metric, ours.metric ? std::string() : other.like_estimate);
    agreements.push_back(compare::compare(run.ops, ranking, other));
  }
  return agreements;
}

void run(CompareFlags& flags) {
  if (flags.recipes_of)
    return compare_recipes(flags.run, flags.other, *flags.recipes_of, flags.of_run.metric,
                           flags.out.empty() ? folder_of(*flags.recipes_of) : flags.out);
  if (is_recipe(flags.run))
    fail("{}: expected --run RUN, whose ops and scores two recipes are compared by, found none", flags.run);
  const scores::Run run = compare::read_run(flags.run);
  const std::vector<compare::Agreement> agreements = compare_each(flags, run);
  if (flags.out.empty()) flags.out = folder_of(flags.run);
  const auto scores_of = [](const std::string& path) {
    return std::filesystem::is_directory(path) ? path + "/scores.json" : path;
  };
  check_outputs({{"the file of RUN", scores_of(flags.run)}, {"the file of OTHER", scores_of(flags.other)}},
                {{"--out", flags.out + "/compare.md"},
                 {"--out", flags.out + "/compare.json"},
                 {"--out", flags.out + "/report.html"}});
  with_context("--out", [&] { io::ensure_folder(flags.out); });
  report::write_comparison(agreements, flags.out);
  const io::Json comparison = compare::to_json(agreements);
  report::write_page({.run = &run, .comparison = &comparison}, flags.out);
  for (const compare::Agreement& agreement : agreements) print(agreement);
  say("{0}/compare.md  {0}/report.html  {0}/compare.json\n", flags.out);
}

void add_choice(CLI::App& command, const std::string& prefix, const std::string& whose, ChoiceFlags& flags) {
  command.add_option(
      "--" + prefix + "format", flags.format,
      "Format of " + whose + " scores to compare" + (prefix.empty() ? "; each where not given" : ""));
  command.add_option("--" + prefix + "mode", flags.mode, "Mode of " + whose + " scores to compare");
  command.add_option("--" + prefix + "method", flags.method, "Method of " + whose + " scores to compare");
}

}  // namespace

void add_compare(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "compare",
      "Compare a run's ranking with another run's, ModelOpt's or Neural Compressor's, or two recipes");
  auto flags = std::make_shared<CompareFlags>();
  command->add_option("RUN", flags->run, "Folder of a run, or its scores.json; with --run, a recipe")
      ->required();
  command
      ->add_option("OTHER", flags->other,
                   "Another run, a ModelOpt result (groups or layer_sensitivity), an INC mse_v2 result, or a "
                   "map of op names to scores; with --run, another recipe")
      ->required();
  command->add_option("--metric", flags->of_run.metric,
                      "Metric to compare by, such as kl:all; what RUN is ranked by where not given, "
                      "but the element_form of method fisher against ModelOpt's gradient scores");
  add_choice(*command, "", "RUN's", flags->of_run);
  add_choice(*command, "other-", "OTHER's", flags->of_other);
  CLI::Option* recipes_of = command->add_option(
      "--run", flags->recipes_of,
      "Compare two recipes, in place of rankings, by the ops and scores of this run: where "
      "they differ, and what that costs");
  for (const char* of_rankings :
       {"--format", "--mode", "--method", "--other-format", "--other-mode", "--other-method"})
    recipes_of->excludes(command->get_option(of_rankings));
  command->add_option(
      "--out", flags->out,
      "Folder for compare.md, compare.json and report.html, of recipes compare_recipes.md and "
      "compare_recipes.json; the run's where not given");
  command->callback([flags] { run(*flags); });
}

}  // namespace qsweep::cli
