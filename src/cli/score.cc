#include "sweep/score.h"

#include <algorithm>
#include <map>

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "cli/commands.h"
#include "cli/identity.h"
#include "cli/progress.h"
#include "cli/provenance.h"
#include "inc/mse_v2.h"
#include "io/atomic_file.h"
#include "report/report.h"
#include "report/time.h"
#include "report/verification.h"
#include "scores/files.h"

namespace qsweep::cli {
namespace {

constexpr uint64_t kMaxProbes = 1024;
constexpr int64_t kProbes = 4;  // where --probes is not given
constexpr const char* kJournalFile = "/journal.sqlite";

struct ScoreFlags {
  EngineFlags engine;
  std::string out;
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
  bool resume = false;
  double journal_interval_s = sweep::Keeping().boundary_s;
  bool dry_run = false;
};

// What the first of a group are first in, and what their numbers are.
std::string ranking_text(const scores::Run& run, const scores::ScoreGroup& group) {
  if (group.method == scores::Method::local) return "relative error of the op's own output";
  const std::string metric = name(run.ranking_metric) + " per position";
  switch (group.mode) {
    case scores::Mode::leave_one_out:
      return metric + " that is left with the op in float";
    case scores::Mode::requantize_cumulative:
      return metric + " with all ops up to this one quantized again";
    default:
      return metric;
  }
}

// Of a ranking over several methods: how many scores each has made.
std::string methods_text(const scores::Run& run, const scores::ScoreGroup& group) {
  if (group.method != scores::Method::automatic) return "";
  std::map<scores::Method, int64_t> counts;
  for (const size_t member : group.members)
    if (run.scores[member].rank) ++counts[run.scores[member].method];
  std::vector<std::string> parts;
  for (const auto& [method, n] : counts) parts.push_back(fmt::format("{} {}", n, name(method)));
  return fmt::format(" ({})", fmt::join(parts, ", "));
}

void print_summary(const scores::Run& run, const std::string& out, bool inc) {
  constexpr size_t kShown = 5;
  for (const scores::ScoreGroup& group : scores::group_scores(run)) {
    std::vector<const scores::ScoreRecord*> ranked;
    for (const size_t member : group.members)
      if (run.scores[member].rank) ranked.push_back(&run.scores[member]);
    std::sort(ranked.begin(), ranked.end(), [](const auto* a, const auto* b) { return *a->rank < *b->rank; });
    if (ranked.empty()) {
      fmt::print("{}: no op has a score, report.md says why\n", group.format);
      continue;
    }
    const bool local = group.method == scores::Method::local;
    const bool single = group.mode != scores::Mode::requantize_cumulative;
    fmt::print("{}, the {} of {} scored op{}{}, {}:\n", group.format,
               single ? "most sensitive" : "largest errors", ranked.size(), ranked.size() == 1 ? "" : "s",
               methods_text(run, group), ranking_text(run, group));
    for (size_t i = 0; i < std::min(ranked.size(), kShown); ++i) {
      const scores::ScoreRecord& score = *ranked[i];
      fmt::print("  {}. {:<42} {:.3g}{}\n", *score.rank, run.ops[static_cast<size_t>(score.op)].name,
                 local ? score.local->relative_error() : score.per_position(run.ranking_metric),
                 score.spread_from ? "  spread from " + *score.spread_from : "");
    }
  }
  if (!run.verification.empty()) fmt::print("{}\n", report::verification_line(run));
  fmt::print("{}\n", report::time_line(run.provenance));
  fmt::print("{0}/report.md  {0}/scores.json  {0}/scores.csv", out);
  if (inc) fmt::print("  {}/inc_mse_v2.json", out);
  fmt::print("\n");
}

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
  check_coarse(options);
  options.verify = flags.verify.value_or(0);
  check_verify(options);
  flags.probes = options.probes = flags.probes.value_or(kProbes);
  return options;
}

inc::Maps inc_maps(const Engine& engine, int64_t memory_bytes) {
  const trace::Span span(trace::kPhase, "inc");
  ProgressBar bar;
  return inc::mse_v2(engine.model, engine.devices->first(), engine.data,
                     {.memory_bytes = memory_bytes,
                      .progress = [&](const inc::Progress& p) { bar.update(p.done, p.total, p.what); }});
}

void print_outlook(const Engine& engine, const sweep::Sweep& sweep, int64_t verify) {
  const sweep::Outlook& outlook = sweep.outlook();
  const int64_t to_compute =
      std::ranges::count(outlook.records, scores::Status::ok, &scores::ScoreRecord::status);
  const int64_t spread =
      std::ranges::count(outlook.records, scores::Status::spread, &scores::ScoreRecord::status);
  std::vector<std::string> beside;
  for (const scores::Baseline& baseline : outlook.baselines) beside.push_back(baseline.name);
  fmt::print("{}: {} ops, {} score{} to compute{}, and {}\n", engine.model.family, engine.model.ops.size(),
             to_compute, to_compute == 1 ? "" : "s",
             spread > 0 ? fmt::format(" and to be spread over {} more", spread) : "",
             fmt::join(beside, ", "));
  fmt::print("memory plan: {}\n", describe(sweep.plan()));
  if (sweep.estimate_plan() != nullptr)
    fmt::print("  of the estimates: {}\n", describe(*sweep.estimate_plan()));
  if (const sweep::MemoryPlan* all = sweep.verify_plan(); all != nullptr && to_compute > 0) {
    const int64_t verified = std::min(verify, to_compute);
    fmt::print("  of the verification: at most {} at the peak, about {:.3g} GFLOP\n",
               format_bytes(all->peak_bytes()),
               all->flops() * 1e-9 * static_cast<double>(verified) / static_cast<double>(to_compute));
  }
}

void run(ScoreFlags& flags, const std::function<io::Json()>& settings) {
  const auto start = Clock::now();
  Tracing tracing(flags.engine.trace);
  std::optional<io::Journal> journal;
  if (flags.resume) journal = reopen_journal(flags.out + kJournalFile, flags.engine);
  if (flags.inc && flags.engine.device != "cpu")
    fail("--inc: expected --device cpu beside it, found {}", flags.engine.device);
  Gpus gpus = flags.engine.resolve();
  sweep::ScoreOptions options = score_options(flags);
  Engine engine = open_engine(flags.engine, std::move(gpus));
  check_metric(options.metric, engine.data);
  Provenance provenance(engine, flags.engine, tracing.recorder(), start);

  if (options.time_budget_s)
    *options.time_budget_s -= std::chrono::duration<double>(Clock::now() - start).count();
  sweep::Sweep sweep(engine.model, *engine.devices, engine.data, engine.calibration_data(), options);
  const io::Json self = identity(engine, flags.engine, settings());
  if (journal && is_finished(*journal, self, flags.out + "/scores.json")) return;
  if (journal) sweep.keep({.journal = &*journal, .boundary_s = flags.journal_interval_s});
  sweep.prepare();
  warn_of(sweep.outlook().records, scores::Status::unexercised,
          "no sample reaches their ops (vision ops need samples with images)");
  warn_of(sweep.outlook().records, scores::Status::uncalibrated, "no calibration sample reaches their ops");
  print_outlook(engine, sweep, options.verify);
  if (flags.dry_run) return tracing.finish();
  with_context("--out", [&] { io::ensure_folder(flags.out); });
  tracing.open();
  if (!journal) {
    journal = io::Journal::create(flags.out + kJournalFile, self);
    sweep.keep({.journal = &*journal, .boundary_s = flags.journal_interval_s});
  }
  std::optional<inc::Maps> inc;
  if (flags.inc) inc = inc_maps(engine, options.memory_bytes);
  provenance.measure_rates(sweep.main_products(), sweep.plan());
  scores::Run result;
  {
    ProgressBar bar;
    result = sweep.run(
        [&](const sweep::Progress& p) { bar.update(p.done_flops, p.total_flops, p.what, p.earlier_flops); });
  }
  warn_of(result.scores, scores::Status::non_finite, "the output overflowed or became NaN");
  result.model = provenance.model();
  provenance.complete(result.data);
  const io::Json metric = result.settings;
  result.settings = settings();
  result.settings.update(metric);
  result.provenance = provenance.json(sweep.report(), sweep.planned_bytes());
  scores::write_scores(result, flags.out);
  report::write_report(result, flags.out);
  if (inc) inc::write_maps(*inc, flags.out);
  journal->finish();
  tracing.finish();
  print_summary(result, flags.out, flags.inc);
}

}  // namespace

void add_score(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("score", "Score every op: the output error that quantizing it causes");
  auto values = std::make_shared<ScoreFlags>();
  auto flags = std::make_shared<Flags>(*command);
  add_scoring_flags(*flags, values->engine);
  command->get_option("--data")->required();
  flags->add("out", values->out, "Folder for scores.json, scores.csv and report.md")->required();
  flags
      ->add("method", values->method,
            "How scores are computed. exact: the effect on the output itself. adjoint: its second-order "
            "estimate "
            "by random probes, at a cost that does not grow with the number of ops. fisher: the same by the "
            "gradients of the data's own next tokens. hawq: trace of the Fisher matrix times squared weight "
            "error. local: relative error of the op's own output. auto: adjoint, then exact for what matters "
            "most")
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
            "its own "
            "probes. exact: the only metrics that are wanted beside it; where they are squared errors, the "
            "head "
            "takes a fraction of its time")
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
            "ops, "
            "half drawn by --seed, and say how far the run's own are off; not part of --time-budget")
      ->check(whole_number(1, 1'000'000));
  flags->add_switch("resume", values->resume, kResumeHelp);
  command->add_option("--journal-interval", values->journal_interval_s)
      ->group("");  // for tests, so not in the help
  add_trace_flag(*flags, values->engine.trace);
  flags->add_switch("dry-run", values->dry_run, "Only show what would be scored, and the memory plan");
  command->callback([values, flags] { run(*values, [flags] { return flags->settings(); }); });
}

}  // namespace qsweep::cli
