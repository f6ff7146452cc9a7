#include "report/ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "report/explain.h"
#include "report/text.h"

namespace qsweep::report {
namespace {

using namespace scores;

constexpr size_t kTopOps = 20, kExplainedOps = 5;
constexpr double kMostOfTheError = 0.8;
constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

// One group in rank order, with what its columns are measured against.
struct Ranking {
  const Run& run;
  const ScoreGroup& group;
  std::vector<const ScoreRecord*> scores;
  const Baseline* everything = nullptr;  // all:FORMAT
  double summed = 0;                     // ranking metric over all ranked ops

  double metric(const ScoreRecord& score) const {
    return sum(score.total->of(run.ranking_metric.scope), run.ranking_metric.which);
  }
  double mean(const ScoreRecord& score) const {
    return per_position(score.total->of(run.ranking_metric.scope), run.ranking_metric.which);
  }
  double share(double part) const { return summed > 0 ? part / summed : kUndefined; }
  const OpRecord& op(const ScoreRecord& score) const { return run.ops[score.op]; }
  // Errors of single ops may be added; what remains in a quantized model may not.
  bool additive() const { return group.mode == Mode::isolated; }
};

Ranking make_ranking(const Run& run, const ScoreGroup& group) {
  Ranking ranking{run, group, {}};
  for (size_t i : group.members)
    if (run.scores[i].rank) ranking.scores.push_back(&run.scores[i]);
  std::sort(ranking.scores.begin(), ranking.scores.end(),
            [](const ScoreRecord* a, const ScoreRecord* b) { return *a->rank < *b->rank; });
  for (const Baseline& baseline : run.baselines)
    if (baseline.name == "all:" + group.format && baseline.total) ranking.everything = &baseline;
  for (const ScoreRecord* score : ranking.scores) ranking.summed += ranking.metric(*score);
  return ranking;
}

std::string mean_with_interval(const Ranking& ranking, const ScoreRecord& score) {
  const auto& interval = score.intervals.of(ranking.run.ranking_metric);
  const std::string mean = number(ranking.mean(score));
  return interval ? fmt::format("{} [{}, {}]", mean, number(interval->low), number(interval->high)) : mean;
}

// Share of the summed error, or in leave-one-out what the op's return to float takes off the error of
// all:FORMAT.
std::string relative_cell(const Ranking& ranking, const ScoreRecord& score) {
  if (ranking.additive()) return percent(ranking.share(ranking.metric(score)));
  if (!ranking.everything) return number(kUndefined);
  const Metric m = ranking.run.ranking_metric;
  const double all = sum(ranking.everything->total->of(m.scope), m.which);
  const double part =
      ranking.group.mode == Mode::leave_one_out ? all - ranking.metric(score) : ranking.metric(score);
  return percent(all > 0 ? part / all : kUndefined);
}

std::string relative_header(const Ranking& ranking) {
  if (ranking.additive()) return ">Share";
  return ranking.group.mode == Mode::leave_one_out ? ">Taken off all:" + plain(ranking.group.format)
                                                   : ">Of all:" + plain(ranking.group.format);
}

std::string logits_cell(const Ranking& ranking, const MetricSums& sums) {
  if (!ranking.everything) return number(logits_mse(sums));
  const double all = logits_mse(ranking.everything->total->of(ranking.run.ranking_metric.scope));
  return percent(all > 0 ? logits_mse(sums) / all : kUndefined);
}

std::vector<std::string> top_header(const Ranking& ranking) {
  const Metric metric = ranking.run.ranking_metric;
  std::vector<std::string> header{">Rank", "Op", "Tower", ">" + name(metric) + " per position [95 %]",
                                  relative_header(ranking)};
  if (metric.which != Which::kl) header.push_back(">KL per position");
  header.push_back(ranking.everything ? ">Logits MSE, of all:" + plain(ranking.group.format) : ">Logits MSE");
  header.insert(header.end(), {">Local SQNR, dB", ">Outlier ratio"});
  return header;
}

std::vector<std::string> top_cells(const Ranking& ranking, const ScoreRecord& score) {
  const Metric metric = ranking.run.ranking_metric;
  const MetricSums& sums = score.total->of(metric.scope);
  std::vector<std::string> cells{
      fmt::format("{}", *score.rank),
      code(ranking.op(score).name) + (score.status == Status::spread ? " (spread)" : ""),
      plain(ranking.op(score).tower), mean_with_interval(ranking, score), relative_cell(ranking, score)};
  if (metric.which != Which::kl) cells.push_back(number(per_position(sums, Which::kl)));
  cells.push_back(logits_cell(ranking, sums));
  cells.push_back(number(score.local ? score.local->sqnr_db() : kUndefined));
  cells.push_back(number(score.local ? score.local->outlier_ratio() : kUndefined));
  return cells;
}

std::string top_table(const Ranking& ranking) {
  Table table(top_header(ranking));
  for (size_t i = 0; i < std::min(kTopOps, ranking.scores.size()); ++i)
    table.row(top_cells(ranking, *ranking.scores[i]));
  return table.text();
}

std::string concentration(const Ranking& ranking) {
  double reached = 0;
  size_t n = 0;
  while (n < ranking.scores.size() && reached < kMostOfTheError * ranking.summed)
    reached += ranking.metric(*ranking.scores[n++]);
  if (n == 0) return "";
  return fmt::format("The first {} of {} carry {} of the summed error.\n\n", n,
                     counted(static_cast<int64_t>(ranking.scores.size()), "op"),
                     percent(ranking.share(reached)));
}

struct Part {
  double metric = 0;
  int64_t ops = 0;
};

// Summed error by a label, the largest first, equal ones by label.
std::string parts_table(const Ranking& ranking, const char* title, std::string (*label)(const OpRecord&)) {
  std::map<std::string, Part> parts;
  for (const ScoreRecord* score : ranking.scores) {
    Part& part = parts[label(ranking.op(*score))];
    part.metric += ranking.metric(*score);
    ++part.ops;
  }
  std::vector<std::pair<std::string, Part>> sorted(parts.begin(), parts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.metric > b.second.metric; });
  Table table({title, ">Ops", ">Summed " + name(ranking.run.ranking_metric), ">Share", ">Share per op"});
  for (const auto& [text, part] : sorted)
    table.row({plain(text), fmt::format("{}", part.ops), number(part.metric),
               percent(ranking.share(part.metric)),
               percent(ranking.share(part.metric) / static_cast<double>(part.ops))});
  return table.text();
}

std::string explanations(const Ranking& ranking) {
  const TypicalOp typical = typical_op(ranking.run, ranking.group);
  std::string text = "#### The worst ops, and why\n\n";
  for (size_t i = 0; i < std::min(kExplainedOps, ranking.scores.size()); ++i) {
    const ScoreRecord& score = *ranking.scores[i];
    text += fmt::format("{}. {}: {}\n", *score.rank, code(ranking.op(score).name),
                        explain(ranking.run, score, typical));
  }
  return text + "\n";
}

}  // namespace

std::string ranking_section(const Run& run, const ScoreGroup& group) {
  const Ranking ranking = make_ranking(run, group);
  if (ranking.scores.empty()) return "";
  std::string text =
      fmt::format("### {}, {}, {}\n\n", code(group.format), name(group.mode), name(group.method));
  text += top_table(ranking);
  if (ranking.scores.size() > kTopOps)
    text += fmt::format("{} more in `scores.csv`.\n\n", ranking.scores.size() - kTopOps);
  if (!ranking.additive() || !(ranking.summed > 0)) return text;
  text += concentration(ranking);
  text += parts_table(ranking, "Tower", [](const OpRecord& op) { return op.tower; });
  text += parts_table(ranking, "Role", [](const OpRecord& op) { return op.tower + " / " + op.role; });
  return text + explanations(ranking);
}

}  // namespace qsweep::report
