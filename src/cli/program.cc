#include "cli/program.h"

#include <cstdlib>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "base/error.h"

namespace qsweep::cli {
namespace {

constexpr int kBadInput = 2;
constexpr int kInternalError = 70;  // as sysexits.h has it

// OpenMP threads that wait by spinning make every other program on the machine slow, and this one tenfold
// slower beside them. libgomp reads its policy when it is loaded, so a change takes effect in a new image of
// the program.
void let_idle_threads_sleep(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  execv("/proc/self/exe", argv);  // returns only on failure: then threads spin
}

}  // namespace

int run_program(int argc, char** argv, CLI::App& app,
                const std::function<std::string(const CLI::ParseError&)>& complain) {
  let_idle_threads_sleep(argv);
  spdlog::set_default_logger(spdlog::stderr_color_mt(app.get_name()));
  spdlog::set_pattern("%^%l:%$ %v");
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::Success& e) {
    return app.exit(e);  // prints the help or the version
  } catch (const CLI::ParseError& e) {
    spdlog::error("{}", complain(e));
    return kBadInput;
  } catch (const Error& e) {
    spdlog::error("{}", e.what());
    return kBadInput;
  } catch (const std::exception& e) {
    spdlog::critical("internal error, please report it: {}", e.what());
    return kInternalError;
  }
}

}  // namespace qsweep::cli
