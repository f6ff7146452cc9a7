#include <cstdio>
#include <cstdlib>

#include <fmt/ranges.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/commands.h"

namespace {

constexpr int kBadInput = 2;
constexpr int kInternalError = 70;  // as sysexits.h has it

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

// OpenMP threads that wait by spinning make every other program on the machine slow, and this one tenfold
// slower beside them. libgomp reads its policy when it is loaded, so a change takes effect in a new image of
// the program.
void let_idle_threads_sleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  execv("/proc/self/exe", argv);  // returns only on failure: then threads spin
}

int run(int argc, char** argv) {
  CLI::App app(
      "qsweep: how much does each op of a language or vision-language model matter when it is quantized?\n"
      "Exact and estimated scores for every linear op, vision tower included, straight from a Hugging Face\n"
      "checkpoint.",
      "qsweep");
  app.set_version_flag("--version", QSWEEP_VERSION);
  app.require_subcommand(1);
  qsweep::cli::add_inspect(app);
  qsweep::cli::add_score(app);
  qsweep::cli::add_eval(app);
  qsweep::cli::add_report(app);
  qsweep::cli::add_compare(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);  // prints the help or the version
  } catch (const CLI::ParseError& e) {
    spdlog::error("{}", complaint(app, e));
    return kBadInput;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  let_idle_threads_sleep(argv);
  spdlog::set_default_logger(spdlog::stderr_color_mt("qsweep"));
  spdlog::set_pattern("%^%l:%$ %v");
  try {
    return run(argc, argv);
  } catch (const qsweep::Error& e) {
    spdlog::error("{}", e.what());
    return kBadInput;
  } catch (const std::exception& e) {
    spdlog::critical("internal error, please report it: {}", e.what());
    return kInternalError;
  }
}
