#include "report/report.h"

#include "cli/commands.h"
#include "cli/output.h"

namespace qsweep::cli {
namespace {

struct ReportFlags {
  std::string run;
  std::optional<std::string> metric;
};

void run(const ReportFlags& flags) {
  std::optional<scores::Metric> metric;
  if (flags.metric) metric = with_context("--metric", [&] { return scores::parse_metric(*flags.metric); });
  report::from_folder(flags.run, metric);
  say("{0}/report.md  {0}/scores.csv\n", flags.run);
}

}  // namespace

void add_report(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("report", "Write report.md and scores.csv of a run anew from its scores.json");
  auto flags = std::make_shared<ReportFlags>();
  command->add_option("RUN", flags->run, "Folder of a run")->required();
  command->add_option(
      "--metric", flags->metric,
      "Rank by this metric, such as kl:answer, in report.md and scores.csv; by the run's own where "
      "not given. scores.json stays as it is");
  command->callback([flags] { run(*flags); });
}

}  // namespace qsweep::cli
