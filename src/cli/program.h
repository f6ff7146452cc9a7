// What qsweep and qsweep-synth have in common.
#pragma once

#include <functional>
#include <string>

#include <CLI/CLI.hpp>

namespace qsweep::cli {

// Parses the command line, which runs the callbacks of `app`, and gives the exit code: 2 for bad input, 70
// for a broken contract. `complain` says what is wrong with a command line.
int run_program(int argc, char** argv, CLI::App& app,
                const std::function<std::string(const CLI::ParseError&)>& complain);

}  // namespace qsweep::cli
