// The script of a run: what every subcommand that computes does around its question, in the same order.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/job.h"
#include "cli/provenance.h"

namespace qsweep::cli {

// What a subcommand asks of a model and its data, both open.
class Question {
 public:
  virtual ~Question() = default;

  // Goes on from what the journal holds, and keeps there what is finished.
  virtual void keep(io::Journal& journal) = 0;
  // Makes the plans; nothing is computed yet.
  virtual void prepare() = 0;
  virtual std::vector<schedule::ProductShape> main_products() const = 0;
  virtual const sweep::RunReport& report() const = 0;
  virtual int64_t planned_bytes() const = 0;

  // Says what is going to be computed, and how long that takes at these rates.
  virtual void announce(std::span<const sweep::MeasuredProduct> rates) = 0;
  // The same for programs, of a dry run.
  virtual io::Json announcement() const = 0;
  // Computes, and writes the results.
  virtual void answer() = 0;
  // Says what was found.
  virtual void conclude() = 0;
  // The same of results that an earlier process has written.
  virtual void conclude_earlier() = 0;
};

class RunScript {
 public:
  // Takes from the journal that --resume goes on with, and from the machine, what the flags leave open.
  // settings: all flags, once they are resolved.
  RunScript(EngineFlags& flags, const JobFlags& job_flags, const JobFiles& files,
            std::function<io::Json()> settings);

  // Opens model and data. Error where the metric cannot rank by the data, or where the run would write what
  // it reads; `more`: that it reads beside model and data.
  void open(const scores::Metric& metric, const std::vector<NamedFile>& more = {});
  const Engine& engine() const { return *engine_; }
  scores::ModelInfo model() const { return provenance_->model(); }
  scores::DataInfo data() const;
  double seconds() const;  // since the begin of the process's work
  const Output& output() const { return job_.output(); }
  Job& job() { return job_; }

  // From the plan to the results. recipes: files that these depend on besides.
  void run(Question& question, const std::vector<std::string>& recipes = {});

  // What body(observer) finds out, with what every file of results says of where it comes from. The observer
  // shows progress.
  template <class Body>
  auto measure(const Question& question, Body&& body);

 private:
  EngineFlags& flags_;
  const JobFlags& job_flags_;
  std::function<io::Json()> settings_;
  Job job_;
  Gpus gpus_;  // until open()
  std::optional<Engine> engine_;
  std::optional<Provenance> provenance_;
};

template <class Body>
auto RunScript::measure(const Question& question, Body&& body) {
  auto result = job_.with_progress([&](const auto& report) {
    return body(
        [&](const sweep::Progress& p) { report(p.done_flops, p.total_flops, p.what, p.earlier_flops); });
  });
  result.model = provenance_->model();
  provenance_->complete(result.data);
  io::Json settings = settings_();
  settings.update(result.settings);
  result.settings = std::move(settings);
  result.provenance = provenance_->json(question.report(), question.planned_bytes());
  return result;
}

}  // namespace qsweep::cli
