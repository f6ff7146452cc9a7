#include "compare/transfer.h"

#include <cmath>
#include <filesystem>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/outputs.h"
#include "cli/provenance.h"
#include "compare/run.h"
#include "io/atomic_file.h"
#include "quant/format.h"
#include "report/page.h"
#include "report/report.h"
#include "scores/files.h"
#include "sweep/records.h"

namespace qsweep::cli {
namespace {

struct TransferFlags {
  std::string run, to, out;
  std::optional<std::string> check, metric;
};

scores::Run transferred(const TransferFlags& flags) {
  const scores::Run proxy = compare::read_run(flags.run);
  const bool caches =
      std::ranges::any_of(proxy.ops, [](const scores::OpRecord& op) { return op.cache.has_value(); });
  const models::Model model = models::load(flags.to, {.caches = caches});
  const scores::Metric metric =
      flags.metric ? with_context("--metric", [&] { return scores::parse_metric(*flags.metric); })
                   : proxy.ranking_metric;
  scores::Run run =
      with_context(flags.run, [&] { return compare::transfer(proxy, sweep::op_records(model), metric); });
  run.model = model_info(model, flags.to);
  run.settings["command"] = "transfer";
  run.settings["proxy"] = {{"model", proxy.model.path_name},
                           {"family", proxy.model.family},
                           {"weights_sha256_of_headers", proxy.model.weights_sha256_of_headers}};
  run.provenance = {{"version", QSWEEP_VERSION}};
  for (scores::ScoreRecord& score : run.scores) {
    const scores::OpRecord& op = run.ops[static_cast<size_t>(score.op)];
    const quant::Format& format = quant::find_format(score.format);
    score.effective_bits = op.cache ? quant::effective_cache_bits(format, op.cache->head_dim)
                                    : quant::effective_weight_bits(format, op.in_features);
  }
  return run;
}

std::string per_cent(double share) {
  return std::isfinite(share) ? fmt::format("{:.1f} %", 100 * share) : "-";
}

void print(const compare::Check& check) {
  say("{}, {}: of the {} most sensitive ops it foretold {}; keeping its first {} in float takes away {} of "
      "the "
      "error, keeping the right ones {}\n",
      check.format, scores::name(check.mode), check.k, check.overlap, check.k,
      per_cent(check.protected_error), per_cent(check.own_protected_error));
  say("  {:<10} {:<12} {:>4} {:>9} {:>9} {:>9}\n", "tower", "role", "ops", "spearman", "error", "foretold");
  for (const compare::Foretold& group : check.groups)
    say("  {:<10} {:<12} {:>4} {:>9} {:>9} {:>9}\n", group.tower.empty() ? "all" : group.tower,
        group.role.empty() ? "all" : group.role, group.ops,
        std::isfinite(group.spearman) ? fmt::format("{:.3f}", group.spearman) : "-", per_cent(group.share),
        per_cent(group.foretold_share));
}

void run(const TransferFlags& flags) {
  check_outputs({{"the file of RUN", compare::scores_file(flags.run)}}, files_of("--out", flags.out));
  check_out_folder(flags.out, flags.to);
  const scores::Run run = transferred(flags);
  const auto skipped = std::ranges::count(run.scores, scores::Status::skipped, &scores::ScoreRecord::status);
  std::vector<compare::Check> checks;
  if (flags.check)
    checks = with_context("--check",
                          [&] { return compare::check_transfer(run, compare::read_run(*flags.check)); });
  with_context("--out", [&] { io::ensure_folder(flags.out); });
  scores::write_scores(run, flags.out);
  report::write_report(run, flags.out);
  report::write_page({.run = &run}, flags.out);
  if (skipped > 0) say("{} of {} scores have no counterpart in RUN\n", skipped, run.scores.size());
  say("{0}/report.md  {0}/report.html  {0}/scores.json  {0}/scores.csv\n", flags.out);
  for (const compare::Check& check : checks) print(check);
}

}  // namespace

void add_transfer(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "transfer", "Carry the scores of a cheap proxy onto a larger or newer model, by tower, role and depth");
  auto flags = std::make_shared<TransferFlags>();
  command->add_option("RUN", flags->run, "Folder of the proxy's run, or its scores.json")->required();
  command->add_option("--to", flags->to, "Folder of the other model, of which no weights are read")
      ->required();
  command->add_option("--out", flags->out, "Folder for scores.json, scores.csv, report.md and report.html")
      ->required();
  command->add_option("--metric", flags->metric,
                      "Rank by this metric, such as kl:answer; as RUN does where not given");
  command->add_option(
      "--check", flags->check,
      "A run of the other model itself: say how well the proxy foretold it, by tower and role");
  command->callback([flags] { run(*flags); });
}

}  // namespace qsweep::cli
