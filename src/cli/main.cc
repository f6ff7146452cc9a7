#include <cstdio>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "base/error.h"
#include "cli/commands.h"

namespace {

constexpr int kBadInput = 2;
constexpr int kInternalError = 70;  // as sysexits.h has it

int run(int argc, char** argv) {
  CLI::App app(
      "qsweep: how much does each op of a language or vision-language model matter when it is quantized?\n"
      "Exact scores for every linear op, vision tower included, straight from a Hugging Face checkpoint.",
      "qsweep");
  app.set_version_flag("--version", QSWEEP_VERSION);
  app.require_subcommand(1);
  qsweep::cli::add_inspect(app);
  qsweep::cli::add_score(app);
  qsweep::cli::add_report(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kBadInput;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
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
