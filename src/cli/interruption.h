// Signals that end a run: SIGINT, SIGTERM, SIGHUP, and SIGXCPU of batch systems.
#pragma once

#include <string>

namespace qsweep::cli {

// While it lives, such a signal ends the program with one line that says how to go on, and exit code 128 +
// its number: at once before wait_for_checks(), and afterwards where the run next calls check(), with
// everything cleaned up; at once again by a second signal, or where the next check is too far away. A signal
// that was ignored stays so. One at a time.
class Interruption {
 public:
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  // There is something to go on from: what this journal holds.
  void keeps_in(const std::string& journal);
  void wait_for_checks();
  // Ending, where there was a signal.
  void check() const;
};

}  // namespace qsweep::cli
