#include <filesystem>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/outputs.h"
#include "compare/other.h"
#include "io/atomic_file.h"
#include "report/comparison.h"

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
  ChoiceFlags of_run, of_other;
  std::string out;
};

void print(const compare::Agreement& agreement, const std::string& out) {
  say("RUN     {}: {}\nOTHER   {}: {}\n", agreement.run.source, agreement.run.what, agreement.other.source,
      agreement.other.what);
  for (const std::string& note : report::comparison_notes(agreement)) say("{}\n", note);
  say("{} matched, {} only in RUN, {} only in OTHER, {} without a score on one side\n", agreement.all.units,
      agreement.only_in_run.size(), agreement.only_in_other.size(),
      agreement.unscored_in_run.size() + agreement.unscored_in_other.size());
  say("{}\n", report::agreement_text(agreement.all));
  if (agreement.distinguished)
    say("of the {} that both sides tell apart: {}\n", agreement.distinguished->units,
        report::agreement_text(*agreement.distinguished));
  say("{0}/compare.md  {0}/compare.json\n", out);
}

void run(CompareFlags& flags) {
  compare::Choice ours = flags.of_run.choice(""), theirs = flags.of_other.choice("other-");
  const scores::Run run = compare::read_run(flags.run);
  const scores::ScoreGroup group = compare::choose_group(run, flags.run, ours);
  const scores::Metric metric = ours.metric.value_or(run.ranking_metric);
  theirs.metric = metric;
  const compare::Ranking other = compare::read_other(flags.other, theirs, group);
  const compare::Ranking ranking =
      compare::ranking_of(run, group, flags.run, metric, ours.metric ? std::string() : other.like_estimate);
  const compare::Agreement agreement = compare::compare(run.ops, ranking, other);
  if (flags.out.empty())
    flags.out = std::filesystem::is_directory(flags.run)
                    ? flags.run
                    : std::filesystem::absolute(flags.run).parent_path().string();
  const auto scores_of = [](const std::string& path) {
    return std::filesystem::is_directory(path) ? path + "/scores.json" : path;
  };
  check_outputs({{"the file of RUN", scores_of(flags.run)}, {"the file of OTHER", scores_of(flags.other)}},
                {{"--out", flags.out + "/compare.md"}, {"--out", flags.out + "/compare.json"}});
  with_context("--out", [&] { io::ensure_folder(flags.out); });
  report::write_comparison(agreement, flags.out);
  print(agreement, flags.out);
}

void add_choice(CLI::App& command, const std::string& prefix, const std::string& whose, ChoiceFlags& flags) {
  command.add_option("--" + prefix + "format", flags.format, "Format of " + whose + " scores to compare");
  command.add_option("--" + prefix + "mode", flags.mode, "Mode of " + whose + " scores to compare");
  command.add_option("--" + prefix + "method", flags.method, "Method of " + whose + " scores to compare");
}

}  // namespace

void add_compare(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "compare", "Compare a run's ranking with another run's, ModelOpt's or Neural Compressor's");
  auto flags = std::make_shared<CompareFlags>();
  command->add_option("RUN", flags->run, "Folder of a run, or its scores.json")->required();
  command
      ->add_option("OTHER", flags->other,
                   "Another run, a ModelOpt result (groups or layer_sensitivity), an INC mse_v2 result, or a "
                   "map of op names to scores")
      ->required();
  command->add_option("--metric", flags->of_run.metric,
                      "Metric to compare by, such as kl:all; what RUN is ranked by where not given, "
                      "but the element_form of method fisher against ModelOpt's gradient scores");
  add_choice(*command, "", "RUN's", flags->of_run);
  add_choice(*command, "other-", "OTHER's", flags->of_other);
  command->add_option("--out", flags->out, "Folder for compare.md and compare.json; RUN where not given");
  command->callback([flags] { run(*flags); });
}

}  // namespace qsweep::cli
