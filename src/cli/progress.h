// Progress of long work: a bar on a terminal, a plain line now and then elsewhere.
#pragma once

#include <chrono>
#include <string>

namespace qsweep::cli {

class ProgressBar {
 public:
  // Writes to standard error, if it is shown. `rate_unit` is that of 1e9 of what is counted per second.
  explicit ProgressBar(bool shown = true, std::string rate_unit = "GFLOP/s");
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // done and total in FLOP or what else is counted, earlier of the done ones by other processes; `what` names
  // what was just finished.
  void update(double done, double total, const std::string& what, double earlier = 0);

 private:
  using Clock = std::chrono::steady_clock;
  bool shown_;
  std::string rate_unit_;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point start_, last_;
};

}  // namespace qsweep::cli
