#include "report/report.h"

#include "cli/commands.h"
#include "cli/output.h"

namespace qsweep::cli {

void add_report(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("report", "Write report.md and scores.csv of a run anew from its scores.json");
  auto folder = std::make_shared<std::string>();
  command->add_option("RUN", *folder, "Folder of a run")->required();
  command->callback([folder] {
    report::from_folder(*folder);
    say("{}/report.md\n", *folder);
  });
}

}  // namespace qsweep::cli
