#include "cli/interruption.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/readable.h"
#include "cli/output.h"
#include "cli/program.h"

namespace qsweep::cli {
namespace {

constexpr std::array kSignals{std::pair{SIGINT, "SIGINT"}, std::pair{SIGTERM, "SIGTERM"},
                              std::pair{SIGHUP, "SIGHUP"}, std::pair{SIGXCPU, "SIGXCPU"}};
constexpr unsigned kPatience_s = 10;  // until the next check; batch systems give thirty and more
constexpr const char* kNothingKept = "nothing has been kept yet, give the same command again";

// What a handler may use: numbers, and text that is there already.
std::atomic<int> caught{0};
std::atomic<bool> waits_for_check{false};
std::array<char, 4096> how_to_go_on{};

const char* name_of(int signal) {
  const auto found = std::ranges::find(kSignals, signal, [](const auto& s) { return s.first; });
  return found == kSignals.end() ? "a signal" : found->second;
}

void put(std::string_view text) { write_to(STDERR_FILENO, text); }

[[noreturn]] void end_at_once(int signal) {
  put(isatty(STDERR_FILENO) == 1 ? "\r\033[Kerror: ended by " : "error: ended by ");
  put(name_of(signal));
  put("; ");
  put(how_to_go_on.data());
  put("\n");
  _exit(128 + signal);
}

void on_signal(int signal) {
  const int earlier = signal == SIGALRM ? caught.load() : caught.exchange(signal);
  if (earlier != 0 || !waits_for_check) end_at_once(earlier != 0 ? earlier : signal);
  alarm(kPatience_s);
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  if (action.sa_handler == SIG_IGN) return;  // nohup, or a shell's background job
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

void set_how_to_go_on(std::string_view text) {
  const size_t n = std::min(text.size(), how_to_go_on.size() - 1);
  std::ranges::copy(text.substr(0, n), how_to_go_on.begin());
  how_to_go_on.at(n) = '\0';
}

}  // namespace

Interruption::Interruption() {
  set_how_to_go_on(kNothingKept);
  for (const auto& [signal, name] : kSignals) handle(signal, on_signal);
  handle(SIGALRM, on_signal);
}

Interruption::~Interruption() {
  for (const auto& [signal, name] : kSignals) handle(signal, SIG_DFL);
  alarm(0);
  handle(SIGALRM, SIG_DFL);
  waits_for_check = false;
}

void Interruption::keeps_in(const std::string& journal) {
  set_how_to_go_on(
      readable_message(fmt::format("the same command with --resume goes on from what {} holds", journal)));
}

void Interruption::wait_for_checks() { waits_for_check = true; }

void Interruption::check() const {
  if (const int signal = caught; signal != 0)
    throw Ending(128 + signal, fmt::format("ended by {}; {}", name_of(signal), how_to_go_on.data()));
}

}  // namespace qsweep::cli
