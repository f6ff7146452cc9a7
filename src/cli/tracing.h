// Records where a run's time goes, and writes it as a trace where --trace asks for one.
#pragma once

#include <optional>
#include <string>

#include "base/trace.h"
#include "cli/flags.h"
#include "io/atomic_file.h"

namespace qsweep::cli {

void add_trace_flag(Flags& flags, std::string& path);

class Tracing {
 public:
  // path: empty for no trace.
  explicit Tracing(const std::string& path);

  trace::Recorder& recorder() { return recorder_; }
  // Begins the file, whose folder must be there by now: --out may have made it. Error where there can be
  // none.
  void open();
  // Puts the trace in its place; without it there is none.
  void finish();

 private:
  void write(std::string_view text);

  std::string path_;
  std::string before_open_;
  std::optional<io::AtomicFile> file_;
  trace::Recorder recorder_;
};

}  // namespace qsweep::cli
