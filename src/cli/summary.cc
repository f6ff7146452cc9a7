#include "cli/summary.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/ranges.h>

#include "base/readable.h"
#include "report/time.h"
#include "report/verification.h"

namespace qsweep::cli {
namespace {

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

using Ranked = std::vector<const scores::ScoreRecord*>;

Ranked ranked_of(const scores::Run& run, const scores::ScoreGroup& group) {
  Ranked ranked;
  for (const size_t member : group.members)
    if (run.scores[member].rank) ranked.push_back(&run.scores[member]);
  std::ranges::sort(ranked, {}, [](const auto* score) { return *score->rank; });
  return ranked;
}

// What ranks it, per position where that is a metric.
double shown_value(const scores::Run& run, const scores::ScoreRecord& score) {
  return score.method == scores::Method::local ? score.local->relative_error()
                                               : score.per_position(run.ranking_metric);
}

const std::string& op_name(const scores::Run& run, const scores::ScoreRecord& score) {
  return run.ops[static_cast<size_t>(score.op)].name;
}

void print_group(const Output& output, const scores::Run& run, const scores::ScoreGroup& group) {
  constexpr size_t kShown = 5;
  const Ranked ranked = ranked_of(run, group);
  if (ranked.empty()) return output.say("{}: no op has a score, report.md says why\n", group.format);
  const bool single = group.mode != scores::Mode::requantize_cumulative;
  output.say("{}, the {} of {} scored op{}{}, {}:\n", group.format,
             single ? "most sensitive" : "largest errors", ranked.size(), ranked.size() == 1 ? "" : "s",
             methods_text(run, group), ranking_text(run, group));
  for (size_t i = 0; i < std::min(ranked.size(), kShown); ++i)
    output.say("  {}. {:<42} {:.3g}{}\n", *ranked[i]->rank, op_name(run, *ranked[i]),
               shown_value(run, *ranked[i]),
               ranked[i]->spread_from ? "  spread from " + *ranked[i]->spread_from : "");
}

io::Json group_json(const scores::Run& run, const scores::ScoreGroup& group) {
  io::Json ranking = io::Json::array();
  for (const scores::ScoreRecord* score : ranked_of(run, group))
    ranking.push_back({{"op", op_name(run, *score)},
                       {"value", shown_value(run, *score)},
                       {"method", name(score->method)},
                       {"status", name(score->status)}});
  return {{"format", group.format},
          {"mode", name(group.mode)},
          {"method", name(group.method)},
          {"value", ranking_text(run, group)},
          {"ranking", std::move(ranking)}};
}

// A mean of the ranking metric; null where it is not known.
io::Json known(double value) { return std::isfinite(value) ? io::Json(value) : io::Json(); }

io::Json measured_group_json(const scores::Run& run, const scores::GroupScore& group) {
  const scores::Metric metric = run.ranking_metric;
  const double value = group.per_position(metric);
  return {{"group", group.name},
          {"format", group.format},
          {"status", name(group.status)},
          {"value", known(value)},
          {"sum_of_ops", known(value * sum_of_ops(run, group, metric) / group.sum(metric))}};
}

std::vector<std::string> files_in(const std::string& out, bool inc) {
  std::vector<std::string> files{out + "/report.md", out + "/report.html", out + "/scores.json",
                                 out + "/scores.csv"};
  if (inc) files.push_back(out + "/inc_mse_v2.json");
  return files;
}

}  // namespace

io::Json summary_json(const scores::Run& run, const std::string& out, bool inc) {
  io::Json statuses = io::Json::object(), baselines = io::Json::object();
  io::Json files = io::Json::array(), rankings = io::Json::array(), groups = io::Json::array();
  for (const scores::GroupScore& group : run.groups) groups.push_back(measured_group_json(run, group));
  for (const std::string& file : files_in(out, inc)) files.push_back(valid_utf8(file));
  for (const scores::ScoreRecord& score : run.scores) {
    io::Json& count = statuses[std::string(name(score.status))];
    count = count.is_null() ? 1 : count.get<int64_t>() + 1;
  }
  for (const scores::Baseline& baseline : run.baselines)
    baselines[baseline.name] =
        baseline.total ? io::Json(baseline.per_position(run.ranking_metric)) : io::Json();
  for (const scores::ScoreGroup& group : scores::group_scores(run))
    rankings.push_back(group_json(run, group));
  return {{"schema", "qsweep.summary/1"},  {"command", "score"},
          {"files", std::move(files)},     {"metric", name(run.ranking_metric)},
          {"scores", std::move(statuses)}, {"baselines", std::move(baselines)},
          {"groups", std::move(groups)},   {"rankings", std::move(rankings)}};
}

void summarize(const Output& output, const scores::Run& run, const std::string& out, bool inc) {
  for (const scores::ScoreGroup& group : scores::group_scores(run)) print_group(output, run, group);
  if (!run.verification.empty()) output.say("{}\n", report::verification_line(run));
  output.say("{}\n{}\n", report::time_line(run.provenance), fmt::join(files_in(out, inc), "  "));
  output.result(summary_json(run, out, inc));
}

}  // namespace qsweep::cli
