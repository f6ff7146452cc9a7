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
  // path: empty for no trace. Error where no file can be made there.
  explicit Tracing(const std::string& path);

  const trace::Recorder& recorder() const { return recorder_; }
  // Puts the trace in its place; without it there is none.
  void finish();

 private:
  std::optional<io::AtomicFile> file_;
  trace::Recorder recorder_;
};

}  // namespace qsweep::cli
