// What a command says: lines for people, or with --json one document for programs.
#pragma once

#include <string_view>

#include <fmt/format.h>

#include "cli/flags.h"

namespace qsweep::cli {

// Whether all of it went out; else errno says why not. Safe in a signal's handler.
bool write_to(int stream, std::string_view text);

// To standard output at once, so that a log shows it when it happens. Error where that fails; an Ending as by
// SIGPIPE, without a word, where its reader has gone.
void write_out(std::string_view text);

struct OutputFlags {
  bool quiet = false, json = false;
};
void add_output_flags(Flags& flags, OutputFlags& values);

class Output {
 public:
  explicit Output(OutputFlags flags = {}) : flags_(flags) {}

  // Lines for people. With --json they go to standard error, with --quiet nowhere.
  template <class... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) const {
    if (!flags_.quiet) say_text(fmt::format(format, std::forward<Args>(args)...));
  }
  bool shows_progress() const { return !flags_.quiet; }
  // The command's result: with --json the only thing on standard output.
  void result(const io::Json& json) const;

 private:
  void say_text(const std::string& text) const;

  OutputFlags flags_;
};

// Of commands that have no such flags.
template <class... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  Output().say(format, std::forward<Args>(args)...);
}

}  // namespace qsweep::cli
