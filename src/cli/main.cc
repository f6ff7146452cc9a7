// The program qsweep.
#include <fmt/ranges.h>

#include "cli/commands.h"
#include "cli/manual.h"
#include "cli/program.h"

namespace {

// What is wrong with the command line, and where its rules are written.
std::string complaint(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  if (!chosen.empty())
    return fmt::format("{}; see qsweep {} --help", error.what(), chosen.front()->get_name());
  std::vector<std::string> known;
  for (const CLI::App* command : app.get_subcommands(nullptr)) known.push_back(command->get_name());
  const std::vector<std::string> rest = app.remaining();
  return fmt::format("expected one of the subcommands {}, found {}; see qsweep --help",
                     fmt::join(known, ", "), rest.empty() ? "none" : '"' + rest.front() + '"');
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "qsweep: how much does each op of a language or vision-language model matter when it is quantized?\n"
      "Exact and estimated scores for every linear op, vision tower included, straight from a Hugging Face\n"
      "checkpoint.",
      "qsweep");
  app.set_version_flag("--version", QSWEEP_VERSION);
  app.require_subcommand(1);
  qsweep::cli::add_generate_flag(app, QSWEEP_VERSION);
  qsweep::cli::add_inspect(app);
  qsweep::cli::add_score(app);
  qsweep::cli::add_eval(app);
  qsweep::cli::add_report(app);
  qsweep::cli::add_compare(app);
  qsweep::cli::add_transfer(app);
  qsweep::cli::add_export(app);
  qsweep::cli::add_import(app);
  qsweep::cli::add_recipe(app);
  return qsweep::cli::run_program(argc, argv, app,
                                  [&](const CLI::ParseError& error) { return complaint(app, error); });
}
