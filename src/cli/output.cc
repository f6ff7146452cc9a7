#include "cli/output.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <unistd.h>

#include "base/error.h"
#include "base/readable.h"
#include "cli/program.h"

namespace qsweep::cli {
namespace {

// Printable, but for its line ends.
std::string printable_lines(std::string_view text) {
  std::string lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines += printable(text.substr(0, end));
    if (end < text.size()) lines += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

bool write_to(int stream, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(stream, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

void write_out(std::string_view text) {
  if (write_to(STDOUT_FILENO, text)) return;
  if (errno == EPIPE) throw Ending(128 + SIGPIPE, "");
  fail("standard output: cannot be written: {}", std::strerror(errno));
}

void add_output_flags(Flags& flags, OutputFlags& values) {
  flags.add_switch("quiet", values.quiet, "Print no plan, progress and summary; warnings and errors only");
  flags.add_switch("json", values.json,
                   "Print a summary of the result as JSON on standard output, and nothing else there: all "
                   "that is for people goes to standard error");
}

void Output::say_text(const std::string& text) const {
  const std::string lines = printable_lines(text);
  if (flags_.json)
    write_to(STDERR_FILENO, lines);  // where nobody may be listening
  else
    write_out(lines);
}

void Output::result(const io::Json& json) const {
  if (flags_.json) write_out(json.dump(2) + "\n");
}

}  // namespace qsweep::cli
