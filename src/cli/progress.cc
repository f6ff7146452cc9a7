#include "cli/progress.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

namespace qsweep::cli {
namespace {

constexpr int kBarWidth = 30;
constexpr double kTerminalSeconds = 0.1, kPlainSeconds = 10;  // between two updates

// Where nobody can see it, the work goes on all the same.
void show(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

std::string duration(double seconds) {
  const auto s = static_cast<long>(seconds + 0.5);
  return s < 60 ? fmt::format("{} s", s) : fmt::format("{}:{:02} min", s / 60, s % 60);
}

}  // namespace

ProgressBar::ProgressBar(bool shown, std::string rate_unit)
    : shown_(shown),
      rate_unit_(std::move(rate_unit)),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_(start_) {}

ProgressBar::~ProgressBar() {
  if (drawn_) show("\r\033[K");
}

void ProgressBar::update(double done, double total, const std::string& what, double earlier) {
  if (!shown_) return;
  const auto now = Clock::now();
  const double since_last = std::chrono::duration<double>(now - last_).count();
  if (since_last < (terminal_ ? kTerminalSeconds : kPlainSeconds)) return;
  last_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double share = total > 0 ? std::min(done / total, 1.0) : 0;
  const double flops = done - earlier;
  const std::string left = flops > 0.01 * total ? duration(elapsed * (total - done) / flops) + " left" : "";
  const double rate = flops / elapsed * 1e-9;
  if (terminal_) {
    const int filled = static_cast<int>(share * kBarWidth);
    show(fmt::format("\r\033[K[{:#<{}}{:.<{}}] {:3.0f} %  {:.3g} {}  {}  {}", "", filled, "",
                     kBarWidth - filled, share * 100, rate, rate_unit_, left, what));
    drawn_ = true;
  } else {
    show(fmt::format("{:3.0f} %  {:.3g} {}  {}  {}\n", share * 100, rate, rate_unit_, left, what));
  }
}

}  // namespace qsweep::cli
