#include "sweep/score.h"

#include <algorithm>
#include <filesystem>

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "cli/alternatives.h"
#include "cli/commands.h"
#include "cli/run_script.h"
#include "cli/summary.h"
#include "inc/mse_v2.h"
#include "report/page.h"
#include "report/report.h"
#include "scores/files.h"

namespace qsweep::cli {
namespace {

constexpr uint64_t kMaxProbes = 1024, kMaxSketch = 1024;
constexpr int64_t kProbes = 4;  // where --probes is not given
const JobFiles kScoreFiles{
    .journal = "journal.sqlite",
    .results = "scores.json",
    .others = {"scores.csv", "report.md", "report.html", "inc_mse_v2.json", "sketches.safetensors"}};

struct ScoreFlags {
  EngineFlags engine;
  JobFlags job;
  std::optional<std::string> method;
  std::string mode = "isolated";
  std::optional<std::string> keep_float;
  bool cumulative = false;
  bool inc = false;
  std::vector<std::string> metrics;
  std::optional<int64_t> probes;
  bool hutchinson = false;
  std::optional<std::string> time_budget;
  std::optional<int64_t> verify;
  int64_t sketch = 0;
  double journal_interval_s = schedule::Keeping().boundary_s;
};

// Warnings that the user should see at once; the report has them too.
void warn_of(const std::vector<scores::ScoreRecord>& records, scores::Status status, const char* why) {
  const auto n =
      std::count_if(records.begin(), records.end(), [&](const auto& r) { return r.status == status; });
  if (n > 0) spdlog::warn("{} score{} {}: {}", n, n == 1 ? " is" : "s are", scores::name(status), why);
}

// What goes together with which method.
void check_method(const sweep::ScoreOptions& o, bool probes_given) {
  using scores::Method;
  const bool probes = o.method == Method::adjoint || o.method == Method::automatic;
  if (o.method != Method::exact && o.mode != scores::Mode::isolated)
    fail("--method: expected exact for mode {}, found {}, which estimates isolated scores", name(o.mode),
         name(o.method));
  if (probes_given && !probes && !o.hutchinson)
    fail("--probes: expected --method adjoint, auto, or hawq with --hutchinson; found {}", name(o.method));
  if (!o.metrics.empty() && !probes && o.method != Method::exact)
    fail("--metrics: expected --method exact, adjoint or auto, found {}", name(o.method));
  if (o.hutchinson && o.method != Method::hawq)
    fail("--hutchinson: expected --method hawq, found {}", name(o.method));
  if (o.time_budget_s && o.method != Method::automatic)
    fail("--time-budget: expected --method auto, found {}", name(o.method));
  if ((o.method == Method::fisher || o.method == Method::hawq) && o.metric.which != scores::Which::kl)
    fail("--metric: expected kl:all or kl:answer, which {} estimates, found {}", name(o.method),
         scores::name(o.metric));
}

// What a representative cannot speak for.
void check_coarse(const sweep::ScoreOptions& o) {
  if (o.coarse == sweep::Coarse::none) return;
  if (o.mode == scores::Mode::requantize_cumulative)
    fail("--coarse: expected no --cumulative beside it, whose scores depend on the ops before");
  if (o.method == scores::Method::local)
    fail("--coarse: expected a method that scores the output, found {}", name(o.method));
}

// What would be compared with itself, or with nothing.
void check_verify(const sweep::ScoreOptions& o) {
  if (o.verify == 0) return;
  if (o.method == scores::Method::exact && o.f32_deltas())
    fail("--verify: expected scores that are not exact and strict already, found {}",
         o.strict ? "--precision strict" : "--cumulative, whose deltas are f32");
  if (o.method == scores::Method::local)
    fail("--verify: expected a method that scores the output, found {}", name(o.method));
}

// Groups are measured as single ops are, beside every one of theirs.
void check_groups(const sweep::ScoreOptions& o) {
  if (o.groups.empty()) return;
  if (o.method != scores::Method::exact)
    fail("--groups: expected --method exact, found {}, which estimates single ops alone", name(o.method));
  if (o.mode != scores::Mode::isolated) fail("--groups: expected --mode isolated, found {}", name(o.mode));
  if (o.coarse != sweep::Coarse::none)
    fail("--groups: expected every op to be measured, found --coarse beside it");
}

// Sketches are made of changes of the output, by the op that alone causes them.
void check_sketch(const sweep::ScoreOptions& o) {
  if (o.sketch == 0) return;
  if (o.method != scores::Method::exact)
    fail("--sketch: expected --method exact, found {}, which never has a variant's output", name(o.method));
  if (o.mode != scores::Mode::isolated) fail("--sketch: expected --mode isolated, found {}", name(o.mode));
  if (o.coarse != sweep::Coarse::none)
    fail("--sketch: expected every op to be measured, found --coarse beside it");
}

sweep::ScoreOptions score_options(ScoreFlags& flags) {
  sweep::ScoreOptions options = flags.engine.options();
  options.mode = scores::parse_mode(flags.mode);
  if (options.mode != scores::Mode::requantize && (flags.keep_float || flags.cumulative))
    fail("{}: expected --mode requantize beside it, found {}",
         flags.cumulative ? "--cumulative" : "--keep-float", flags.mode);
  if (flags.keep_float) options.keep_float = *flags.keep_float;
  if (flags.cumulative) options.mode = scores::Mode::requantize_cumulative;
  if (!flags.method) flags.method = flags.time_budget ? "auto" : "exact";
  options.method = scores::parse_method(*flags.method);
  options.hutchinson = flags.hutchinson;
  for (const std::string& metric : flags.metrics)
    options.metrics.push_back(with_context("--metrics", [&] { return scores::parse_metric(metric); }));
  if (flags.time_budget)
    options.time_budget_s = with_context("--time-budget", [&] { return parse_seconds(*flags.time_budget); });
  check_method(options, flags.probes.has_value());
  if (options.method == scores::Method::hawq && !flags.engine.kv.empty())
    fail("--kv: expected a method that sees errors of activations, found hawq, which sees weights alone");
  check_coarse(options);
  options.verify = flags.verify.value_or(0);
  check_verify(options);
  check_groups(options);
  options.sketch = flags.sketch;
  check_sketch(options);
  flags.probes = options.probes = flags.probes.value_or(kProbes);
  return options;
}

int64_t count_of(const sweep::Sweep& sweep, scores::Status status) {
  return std::ranges::count(sweep.outlook().records, status, &scores::ScoreRecord::status);
}
int64_t groups_to_compute(const sweep::Sweep& sweep) {
  return std::ranges::count(sweep.outlook().groups, scores::Status::ok, &scores::GroupScore::status);
}

void print_outlook(const Output& output, const Engine& engine, const sweep::Sweep& sweep,
                   const sweep::ScoreOptions& options, const sweep::Forecast& forecast) {
  const int64_t to_compute = count_of(sweep, scores::Status::ok);
  const int64_t spread = count_of(sweep, scores::Status::spread);
  std::vector<std::string> beside;
  if (const int64_t groups = groups_to_compute(sweep); groups > 0)
    beside.push_back(fmt::format("{} of groups", groups));
  for (const scores::Baseline& baseline : sweep.outlook().baselines) beside.push_back(baseline.name);
  output.say("{}: {} ops, {} score{} to compute{}, and {}; {} on this machine\n", engine.model.family,
             engine.model.ops.size(), to_compute, to_compute == 1 ? "" : "s",
             spread > 0 ? fmt::format(" and to be spread over {} more", spread) : "", fmt::join(beside, ", "),
             about(forecast.total_s()));
  output.say("memory plan: {}\n", describe(sweep.plan()));
  if (sweep.report().calibration)
    output.say("  of the calibration: {}\n", describe(*sweep.report().calibration));
  if (sweep.estimate_plan() != nullptr)
    output.say("  of the estimates: {}\n", describe(*sweep.estimate_plan()));
  if (forecast.exact_scores)
    output.say("  about {} of {} scores become exact{}\n", *forecast.exact_scores, to_compute,
               options.time_budget_s ? " within --time-budget" : "");
  if (const schedule::MemoryPlan* all = sweep.verify_plan(); all != nullptr && to_compute > 0) {
    const int64_t verified = std::min(options.verify, to_compute);
    output.say("  of the verification: at most {} at the peak, about {:.3g} GFLOP\n",
               format_bytes(all->peak_bytes()),
               all->flops() * 1e-9 * static_cast<double>(verified) / static_cast<double>(to_compute));
  }
}

// The same for programs, of a dry run.
io::Json outlook_json(const sweep::Sweep& sweep, const sweep::Forecast& forecast) {
  return {
      {"schema", "qsweep.summary/1"},
      {"command", "score"},
      {"dry_run", true},
      {"scores_to_compute", count_of(sweep, scores::Status::ok)},
      {"groups_to_compute", groups_to_compute(sweep)},
      {"exact_scores", forecast.exact_scores ? io::Json(*forecast.exact_scores) : io::Json()},
      {"seconds", forecast.total_s()},
      {"plan", plan_json(sweep.plan())},
      {"calibration_plan", sweep.report().calibration ? plan_json(*sweep.report().calibration) : io::Json()},
      {"estimate_plan", sweep.estimate_plan() ? plan_json(*sweep.estimate_plan()) : io::Json()}};
}

class Scoring : public Question {
 public:
  // All must outlive it.
  Scoring(RunScript& script, const ScoreFlags& flags, const sweep::ScoreOptions& options)
      : script_(script),
        flags_(flags),
        options_(options),
        sweep_(engine().model, *engine().devices, engine().data, engine().calibration_data(), options) {}

  void keep(io::Journal& journal) override {
    sweep_.keep({.journal = &journal, .boundary_s = flags_.journal_interval_s});
  }
  void prepare() override { sweep_.prepare(); }
  std::vector<schedule::ProductShape> main_products() const override { return sweep_.main_products(); }
  const sweep::RunReport& report() const override { return sweep_.report(); }
  int64_t planned_bytes() const override { return sweep_.planned_bytes(); }

  void announce(std::span<const sweep::MeasuredProduct> rates) override {
    forecast_ = sweep_.forecast(rates);
    const std::vector<scores::ScoreRecord>& records = sweep_.outlook().records;
    warn_of(records, scores::Status::unexercised,
            "no sample reaches their ops (vision ops need samples with images)");
    warn_of(records, scores::Status::uncalibrated, "no calibration sample reaches their ops");
    print_outlook(script_.output(), engine(), sweep_, options_, forecast_);
    say_alternatives(script_.output(), engine(), options_, forecast_, rates);
  }
  io::Json announcement() const override { return outlook_json(sweep_, forecast_); }

  void answer() override {
    const std::string& out = flags_.job.out;
    std::optional<inc::Maps> inc;
    if (flags_.inc) inc = inc_maps();
    result_ = script_.measure(*this, [&](const auto& progress) { return sweep_.run(progress); });
    warn_of(result_.scores, scores::Status::non_finite, "the output overflowed or became NaN");
    std::filesystem::remove(fmt::format("{}/{}", out, scores::kSketchesFile));  // of an earlier run
    scores::write_scores(result_, out);
    if (sweep_.sketches()) scores::write_sketches(result_, *sweep_.sketches(), out);
    report::write_report(result_, out);
    report::write_page({.run = &result_}, out);
    if (inc) inc::write_maps(*inc, out);
  }
  void conclude() override { summarize(script_.output(), result_, flags_.job.out, flags_.inc); }
  void conclude_earlier() override {
    const std::string& out = flags_.job.out;
    if (flags_.job.output.json)
      script_.output().result(summary_json(scores::read_scores(out), out, flags_.inc));
  }

 private:
  const Engine& engine() const { return script_.engine(); }

  inc::Maps inc_maps() {
    const trace::Span span(trace::kPhase, "inc");
    return script_.job().with_progress([&](const auto& report) {
      return inc::mse_v2(engine().model, engine().devices->first(), engine().data,
                         {.memory_bytes = options_.memory_bytes,
                          .progress = [&](const inc::Progress& p) { report(p.done, p.total, p.what, 0); }});
    });
  }

  RunScript& script_;
  const ScoreFlags& flags_;
  const sweep::ScoreOptions& options_;
  sweep::Sweep sweep_;
  sweep::Forecast forecast_;
  scores::Run result_;
};

void run(ScoreFlags& flags, const std::function<io::Json()>& settings) {
  if (flags.inc && !flags.engine.kv.empty())
    fail("--inc: expected no --kv beside it, since mse_v2 knows linear ops alone");
  if (flags.inc && flags.engine.device != "cpu")
    fail("--inc: expected --device cpu beside it, found {}", flags.engine.device);
  RunScript script(flags.engine, flags.job, kScoreFiles, settings);
  sweep::ScoreOptions options = score_options(flags);
  script.open(options.metric);
  if (options.time_budget_s) *options.time_budget_s -= script.seconds();
  Scoring scoring(script, flags, options);
  script.run(scoring);
}

}  // namespace

void add_score(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("score", "Score every op: the output error that quantizing it causes");
  auto values = std::make_shared<ScoreFlags>();
  auto flags = std::make_shared<Flags>(*command);
  add_scoring_flags(*flags, values->engine);
  command->get_option("--data")->required();
  add_out_flag(*flags, values->job, "Folder for scores.json, scores.csv, report.md and report.html");
  flags
      ->add("method", values->method,
            "How scores are computed. exact: the effect on the output itself. adjoint: its second-order "
            "estimate by random probes, at a cost that does not grow with the number of ops. fisher: the "
            "same by the gradients of the data's own next tokens. hawq: trace of the Fisher matrix times "
            "squared weight error. local: relative error of the op's own output. auto: adjoint, then exact "
            "for what matters most")
      ->check(CLI::IsMember({"exact", "adjoint", "fisher", "hawq", "local", "auto"}))
      ->default_str("exact");
  flags
      ->add("probes", values->probes,
            "adjoint, auto, hawq --hutchinson: number of random probes, each one walk backward")
      ->check(whole_number(1, kMaxProbes))
      ->default_str(std::to_string(kProbes));
  flags
      ->add("metrics", values->metrics,
            "adjoint, auto: metrics to estimate beside the one of --metric, separated by commas; each has "
            "its own probes. exact: the only metrics that are wanted beside it; where they are squared "
            "errors, the head takes a fraction of its time")
      ->delimiter(',');
  flags->add_switch("hutchinson", values->hutchinson, "hawq: the trace by random probes");
  flags->add(
      "time-budget", values->time_budget,
      "Time that the run may take, such as 90s, 10m or 1.5h: --method auto, and then exact scores, the most "
      "important first, as long as there is time");
  flags->add_switch(
      "inc", values->inc,
      "Also compute the scores of Intel Neural Compressor's mse_v2 as it does, under its op names: "
      "inc_mse_v2.json");
  flags
      ->add("mode", values->mode,
            "isolated: only the scored op is quantized. leave-one-out: all ops are, the scored one is not. "
            "requantize: all ops are but those of --keep-float, of which the scored one is quantized")
      ->check(CLI::IsMember({"isolated", "leave-one-out", "requantize"}))
      ->capture_default_str();
  flags->add("keep-float", values->keep_float,
             "requantize: the ops that start in float, as a shell pattern; all where not given");
  flags->add_switch(
      "cumulative", values->cumulative,
      "requantize: quantize the ops of --keep-float one after the other, in model order; deltas are f32");
  flags
      ->add("verify", values->verify,
            "Measure so many scores once more, exactly and with f32 deltas, half of them the most sensitive "
            "ops, half drawn by --seed, and say how far the run's own are off; not part of --time-budget")
      ->check(whole_number(1, 1'000'000));
  flags
      ->add("sketch", values->sketch,
            "exact: keep so many numbers per position of every score, from which recipes learn how errors of "
            "several ops add up, in sketches.safetensors; 16 is enough, 0 keeps none")
      ->check(whole_number(0, kMaxSketch))
      ->capture_default_str();
  command->add_option("--journal-interval", values->journal_interval_s)
      ->group("");  // for tests, so not in the help
  add_job_flags(*flags, values->engine, values->job, "Only show what would be scored, and the memory plan");
  command->callback([values, flags] { run(*values, [flags] { return flags->settings(); }); });
}

}  // namespace qsweep::cli
