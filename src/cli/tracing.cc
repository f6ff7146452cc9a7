#include "cli/tracing.h"

#include <filesystem>

#include "base/error.h"

namespace qsweep::cli {

void add_trace_flag(Flags& flags, std::string& path) {
  flags
      .add("trace", path,
           "Also write what took which time to this file, a trace that ui.perfetto.dev and chrome://tracing "
           "show")
      ->check(cli::path());
}

Tracing::Tracing(const std::string& path)
    : path_(path),
      recorder_(path.empty() ? trace::Recorder::Writer() : [this](std::string_view text) { write(text); }) {}

void Tracing::write(std::string_view text) {
  if (file_)
    file_->write(text);
  else
    before_open_ += text;
}

void Tracing::open() {
  if (path_.empty()) return;
  with_context("--trace", [&] {
    std::error_code ignored;
    const std::filesystem::file_status found = std::filesystem::status(path_, ignored);
    if (exists(found) && !is_regular_file(found))
      fail("{}: expected a file, found {}", path_,
           is_directory(found) ? "a folder" : "a device, pipe or socket");
    file_.emplace(path_);
    file_->write(before_open_);
  });
  before_open_.clear();
}

void Tracing::finish() {
  if (path_.empty()) return;
  if (!file_) open();
  with_context("--trace", [&] {
    recorder_.finish();
    file_->commit();
  });
}

}  // namespace qsweep::cli
