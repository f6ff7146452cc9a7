#include "report/report.h"

#include <filesystem>

#include <fmt/ranges.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "io/atomic_file.h"
#include "report/page.h"
#include "report/pictures.h"
#include "scores/finalize.h"

namespace qsweep::cli {
namespace {

struct ReportFlags {
  std::string run;
  std::vector<std::string> with;
  std::optional<std::string> metric;
  bool svg = false;
};

// Names of the files of SVG, in the folder.
std::vector<std::string> write_pictures(const report::Findings& findings, const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& [name, svg] : report::pictures(report::view(findings))) {
    io::write_file_atomically(folder + "/" + name, svg);
    names.push_back(folder + "/" + name);
  }
  return names;
}

void run(const ReportFlags& flags) {
  std::optional<scores::Metric> metric;
  if (flags.metric) metric = with_context("--metric", [&] { return scores::parse_metric(*flags.metric); });
  std::vector<std::string> folders{flags.run};
  folders.insert(folders.end(), flags.with.begin(), flags.with.end());
  report::FoundFiles found = report::read_files(folders);
  if (metric && !found.run) fail("--metric: expected a folder with scores.json, found none");
  if (metric) with_context("--metric", [&] { scores::rank_by(*found.run, *metric); });
  std::vector<std::string> files;
  if (std::filesystem::exists(flags.run + "/scores.json")) {
    report::from_folder(flags.run, metric);
    files = {flags.run + "/report.md", flags.run + "/scores.csv"};
  }
  report::write_page(found.findings(), flags.run);
  files.push_back(flags.run + "/report.html");
  if (flags.svg)
    for (std::string& picture : write_pictures(found.findings(), flags.run))
      files.push_back(std::move(picture));
  say("{}\n", fmt::join(files, "  "));
}

}  // namespace

void add_report(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "report", "Write report.md, report.html and scores.csv of a run anew from its JSON files");
  auto flags = std::make_shared<ReportFlags>();
  command
      ->add_option("RUN", flags->run,
                   "Folder of a run, or of evaluated or chosen recipes, or of a comparison")
      ->required();
  command->add_option(
      "--metric", flags->metric,
      "Rank by this metric, such as kl:answer, in report.md and scores.csv; by the run's own where "
      "not given. scores.json stays as it is");
  command->add_option("--with", flags->with,
                      "Another folder whose scores.json, eval.json, recipes.json, compare.json or "
                      "compare_recipes.json report.html shows too, where RUN has none of them; repeats");
  command->add_flag(
      "--svg", flags->svg,
      "Write the heat map and the ranking of every format and the spectrum of recipes as SVG too");
  command->callback([flags] { run(*flags); });
}

}  // namespace qsweep::cli
