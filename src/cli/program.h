// What qsweep and qsweep-synth have in common.
#pragma once

#include <exception>
#include <functional>
#include <string>

#include <CLI/CLI.hpp>

namespace qsweep::cli {

// Exit codes, beside 0 and 128 + N for a signal N.
inline constexpr int kBadInput = 2;
inline constexpr int kAboveLimit = 3;      // eval --fail-above
inline constexpr int kInternalError = 70;  // as sysexits.h has it

// Ends the program with this code, after its sentence unless that is empty.
class Ending : public std::exception {
 public:
  Ending(int code, std::string sentence) : code_(code), sentence_(std::move(sentence)) {}
  int code() const { return code_; }
  const char* what() const noexcept override { return sentence_.c_str(); }

 private:
  int code_;
  std::string sentence_;
};

// Parses the command line, which runs the callbacks of `app`, and gives the exit code: 2 for bad input, 70
// for a broken contract. `complain` says what is wrong with a command line.
int run_program(int argc, char** argv, CLI::App& app,
                const std::function<std::string(const CLI::ParseError&)>& complain);

// Where the program's file is, also without /proc.
std::string program_path();

}  // namespace qsweep::cli
