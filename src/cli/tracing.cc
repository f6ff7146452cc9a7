#include "cli/tracing.h"

#include <filesystem>

#include "base/error.h"

namespace qsweep::cli {
namespace {

std::optional<io::AtomicFile> open_trace(const std::string& path) {
  if (path.empty()) return std::nullopt;
  return with_context("--trace", [&] {
    std::error_code ignored;
    const std::filesystem::file_status found = std::filesystem::status(path, ignored);
    if (exists(found) && !is_regular_file(found))
      fail("{}: expected a file, found {}", path,
           is_directory(found) ? "a folder" : "a device, pipe or socket");
    return std::optional<io::AtomicFile>(path);
  });
}

}  // namespace

void add_trace_flag(Flags& flags, std::string& path) {
  flags
      .add("trace", path,
           "Also write what took which time to this file, a trace that ui.perfetto.dev and chrome://tracing "
           "show")
      ->check(cli::path());
}

Tracing::Tracing(const std::string& path)
    : file_(open_trace(path)),
      recorder_(file_ ? [this](std::string_view text) { file_->write(text); } : trace::Recorder::Writer()) {}

void Tracing::finish() {
  if (!file_) return;
  with_context("--trace", [&] {
    recorder_.finish();
    file_->commit();
  });
}

}  // namespace qsweep::cli
