#include "cli/job.h"

#include <filesystem>

#include "cli/address_space.h"
#include "image/source.h"
#include "io/atomic_file.h"

namespace qsweep::cli {

void add_out_flag(Flags& flags, JobFlags& values, const std::string& help) {
  flags.add("out", values.out, help)->required();
}

void add_resuming_flags(Flags& flags, EngineFlags& engine, JobFlags& values,
                        const std::string& dry_run_help) {
  flags.add_switch("resume", values.resume,
                   "Go on with the run in the folder --out, which was ended before it was through; all other "
                   "flags as they were then");
  add_trace_flag(flags, engine.trace);
  flags.add_switch("dry-run", values.dry_run, dry_run_help);
}

void add_job_flags(Flags& flags, EngineFlags& engine, JobFlags& values, const std::string& dry_run_help) {
  add_resuming_flags(flags, engine, values, dry_run_help);
  add_output_flags(flags, values.output);
}

Job::Job(EngineFlags& engine, const JobFlags& flags, JobFiles files)
    : start_(std::chrono::steady_clock::now()),
      engine_(engine),
      flags_(flags),
      files_(std::move(files)),
      output_(flags.output),
      tracing_(engine.trace) {
  if (!flags_.resume) return;
  journal_ = reopen_journal(in_out(files_.journal), engine);
  interruption_.keeps_in(in_out(files_.journal));
}

void Job::check_outputs(const Engine& engine, const std::vector<NamedFile>& more) const {
  check_out_folder(flags_.out, engine_.model);
  std::vector<NamedFile> inputs = files_of("a file of the model", engine_.model);
  inputs.push_back({"the file of --data", engine_.data});
  if (!engine_.calib.empty()) inputs.push_back({"the file of --calib", engine_.calib});
  for (const auto* samples : {&engine.data, &engine.calibration})
    for (const models::Sample& sample : *samples)
      for (const text::ImageSource& image : sample.images) {
        const std::string path =
            image::path_of(image.location, {.data = image.folder, .others = engine_.allow_outside});
        if (!path.empty()) inputs.push_back({"an image of the data", path});
      }
  inputs.insert(inputs.end(), more.begin(), more.end());

  std::vector<NamedFile> outputs{{"--out", in_out(files_.results)}, {"--out", in_out(files_.journal)}};
  for (const char* beside : {"-journal", "-wal", "-shm"})
    outputs.push_back({"--out", in_out(files_.journal) + beside});
  for (const char* file : files_.others) outputs.push_back({"--out", in_out(file)});
  if (!engine_.trace.empty()) outputs.push_back({"--trace", engine_.trace});
  cli::check_outputs(inputs, outputs);
}

bool Job::is_finished(const io::Json& identity) {
  identity_ = identity;
  if (!journal_ || !cli::is_finished(*journal_, identity, in_out(files_.results))) return false;
  output_.say("{}: the run is finished, nothing is left to do\n", in_out(files_.results));
  return true;
}

void Job::begin(int64_t planned_bytes) {
  check_address_space(1, planned_bytes);
  with_context("--out", [&] { io::ensure_folder(flags_.out); });
  tracing_.open();
  interruption_.wait_for_checks();  // from here on: a journal that is half created could not be taken up
  if (!journal_) journal_ = io::Journal::create(in_out(files_.journal), identity_);
  interruption_.keeps_in(in_out(files_.journal));
}

void Job::finish() {
  journal_->finish();
  tracing_.finish();
}

}  // namespace qsweep::cli
