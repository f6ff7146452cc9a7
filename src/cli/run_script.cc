#include "cli/run_script.h"

#include "sweep/records.h"

namespace qsweep::cli {

RunScript::RunScript(EngineFlags& flags, const JobFlags& job_flags, const JobFiles& files,
                     std::function<io::Json()> settings)
    : flags_(flags),
      job_flags_(job_flags),
      settings_(std::move(settings)),
      job_(flags, job_flags, files),
      gpus_(flags.resolve()) {}

void RunScript::open(const scores::Metric& metric, const std::vector<NamedFile>& more) {
  engine_.emplace(open_engine(flags_, std::move(gpus_)));
  check_metric(metric, engine_->data);
  job_.check_outputs(*engine_, more);
  provenance_.emplace(*engine_, flags_, job_.recorder(), job_.start());
}

scores::DataInfo RunScript::data() const {
  scores::DataInfo data = sweep::data_counts(engine_->data);
  provenance_->complete(data);
  return data;
}

double RunScript::seconds() const {
  return std::chrono::duration<double>(Clock::now() - job_.start()).count();
}

void RunScript::run(Question& question, const std::vector<std::string>& recipes) {
  warn_without_answers(*engine_);
  if (job_.is_finished(identity(*engine_, flags_, settings_(), recipes))) return question.conclude_earlier();
  const bool resumes = job_.journal() != nullptr;
  if (resumes) question.keep(*job_.journal());
  question.prepare();
  check_memory(*engine_, flags_);
  question.announce(provenance_->measure_rates(question.main_products(), question.report().plan));
  if (job_flags_.dry_run) {
    job_.finish_dry();
    return job_.output().result(question.announcement());
  }
  pass::check_weights(engine_->model, {flags_.threads});
  job_.begin(question.planned_bytes());
  if (!resumes) question.keep(*job_.journal());
  question.answer();
  job_.finish();
  question.conclude();
}

}  // namespace qsweep::cli
