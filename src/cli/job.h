// What `score` and `eval` do around their work: the journal, the trace, signals, what they say.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/identity.h"
#include "cli/interruption.h"
#include "cli/output.h"
#include "cli/outputs.h"
#include "cli/progress.h"
#include "cli/tracing.h"

namespace qsweep::cli {

struct JobFlags {
  std::string out;
  bool resume = false;
  bool dry_run = false;
  OutputFlags output;
};
void add_out_flag(Flags& flags, JobFlags& values, const std::string& help);
// Of a job that can be taken up again.
void add_resuming_flags(Flags& flags, EngineFlags& engine, JobFlags& values, const std::string& dry_run_help);
// These and what it says.
void add_job_flags(Flags& flags, EngineFlags& engine, JobFlags& values, const std::string& dry_run_help);

// The files that a subcommand writes into --out.
struct JobFiles {
  const char* journal;
  const char* results;  // the one that says everything
  std::vector<const char*> others;
};

class Job {
 public:
  // Opens the journal that --resume goes on with, and takes from it what the flags leave open.
  Job(EngineFlags& engine, const JobFlags& flags, JobFiles files);

  std::chrono::steady_clock::time_point start() const { return start_; }
  trace::Recorder& recorder() { return tracing_.recorder(); }
  const Output& output() const { return output_; }
  // Error where the job would write what it reads; `more`: that it reads beside model and data.
  void check_outputs(const Engine& engine, const std::vector<NamedFile>& more = {}) const;
  // The identity that the journal must have. Whether there is nothing left to do; then it says so.
  bool is_finished(const io::Json& identity);
  // The journal that --resume goes on with; null for a new run, until begin().
  io::Journal* journal() { return journal_ ? &*journal_ : nullptr; }
  // Makes the folder, the trace, and a new run's journal; from here on the run can be taken up again. Error
  // where the address space has no room for what is planned.
  void begin(int64_t planned_bytes);
  // Runs body(report), which calls report(sweep::Progress or inc::Progress): that shows it, and ends the run
  // where a signal asks for it.
  template <class Body>
  auto with_progress(Body&& body);
  // After the results are written.
  void finish();
  void finish_dry() { tracing_.finish(); }

 private:
  std::string in_out(const char* file) const { return flags_.out + "/" + file; }

  std::chrono::steady_clock::time_point start_;
  const EngineFlags& engine_;
  JobFlags flags_;
  JobFiles files_;
  Output output_;
  Interruption interruption_;
  Tracing tracing_;
  std::optional<io::Journal> journal_;
  io::Json identity_;
};

template <class Body>
auto Job::with_progress(Body&& body) {
  ProgressBar bar(output_.shows_progress());
  return body([&](double done, double total, const std::string& what, double earlier) {
    interruption_.check();
    bar.update(done, total, what, earlier);
  });
}

}  // namespace qsweep::cli
