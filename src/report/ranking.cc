#include "report/ranking.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <vector>

#include "report/explain.h"
#include "report/meaning.h"
#include "report/ranked.h"
#include "report/text.h"

namespace qsweep::report {
namespace {

using namespace scores;

constexpr size_t kTopOps = 20, kExplainedOps = 5;
constexpr std::string_view kCoherence = "coherence";

std::string relative_cell(const Ranking& ranking, const ScoreRecord& score) {
  return percent(ranking.relative(score));
}

std::string relative_header(const Ranking& ranking) {
  if (ranking.additive()) return ">Share";
  return ranking.group.mode == Mode::leave_one_out ? ">Taken off all:" + plain(ranking.group.format)
                                                   : ">Of all:" + plain(ranking.group.format);
}

std::string logits_cell(const Ranking& ranking, const ScoreRecord& score) {
  const Scope scope = ranking.run.ranking_metric.scope;
  if (!ranking.everything) return number(score.logits_mse(scope));
  const double all = ranking.everything->logits_mse(scope);
  return percent(all > 0 ? score.logits_mse(scope) / all : kUndefined);
}

struct Column {
  std::string header;
  std::function<std::string(const ScoreRecord&)> cell;
};

// What the group measured at the output.
void add_output_columns(const Ranking& ranking, std::vector<Column>& columns) {
  const Metric metric = ranking.run.ranking_metric;
  columns.push_back(
      {">" + name(metric) + " per position" + (metric.which == Which::kl ? ", nats [95 %]" : " [95 %]"),
       [&](const ScoreRecord& s) { return with_interval(s, ranking.run.ranking_metric); }});
  columns.push_back(
      {relative_header(ranking), [&](const ScoreRecord& s) { return relative_cell(ranking, s); }});
  const Metric kl{Which::kl, metric.scope};
  if (metric != kl && ranking.any_has(kl))
    columns.push_back(
        {">KL per position", [kl](const ScoreRecord& s) { return number(s.per_position(kl)); }});
  if (ranking.any_has({Which::logits_sse, metric.scope}))
    columns.push_back(
        {ranking.everything ? ">Logits MSE, of all:" + plain(ranking.group.format) : ">Logits MSE",
         [&](const ScoreRecord& s) { return logits_cell(ranking, s); }});
  if (ranking.any_estimate(kCoherence))
    columns.push_back(
        {ranking.run.reranked_from ? ">Coherence, of " + name(*ranking.run.reranked_from) : ">Coherence",
         [](const ScoreRecord& s) { return number(s.estimate(kCoherence).value_or(kUndefined)); }});
}

std::vector<Column> top_columns(const Ranking& ranking) {
  std::vector<Column> columns{{">Rank", [](const ScoreRecord& s) { return fmt::format("{}", *s.rank); }},
                              {"Op",
                               [&](const ScoreRecord& s) {
                                 return code(ranking.op(s).name) +
                                        (s.spread_from ? ", spread from " + code(*s.spread_from) : "");
                               }},
                              {"Tower", [&](const ScoreRecord& s) { return plain(ranking.op(s).tower); }}};
  if (ranking.group.method == Method::automatic)
    columns.push_back({"Method", [](const ScoreRecord& s) { return std::string(name(s.method)); }});
  if (ranking.local())
    columns.push_back(
        {">Relative error at the op", [&](const ScoreRecord& s) { return percent(ranking.value(s)); }});
  else
    add_output_columns(ranking, columns);
  columns.push_back({">Local SQNR, dB",
                     [](const ScoreRecord& s) { return number(s.local ? s.local->sqnr_db() : kUndefined); }});
  columns.push_back({">Outlier ratio", [](const ScoreRecord& s) {
                       return number(s.local ? s.local->outlier_ratio() : kUndefined);
                     }});
  return columns;
}

std::string top_table(const Ranking& ranking) {
  const std::vector<Column> columns = top_columns(ranking);
  std::vector<std::string> header;
  for (const Column& column : columns) header.push_back(column.header);
  Table table(header);
  for (size_t i = 0; i < std::min(kTopOps, ranking.scores.size()); ++i) {
    std::vector<std::string> cells;
    for (const Column& column : columns) cells.push_back(column.cell(*ranking.scores[i]));
    table.row(cells);
  }
  return table.text();
}

std::string concentration(const Ranking& ranking) {
  const Concentration most = ranking.concentration();
  if (most.ops == 0) return "";
  return fmt::format("The first {} of {} carry {} of the summed error.\n\n", most.ops,
                     counted(static_cast<int64_t>(ranking.scores.size()), "op"), percent(most.share));
}

struct Part {
  double metric = 0;
  double per_position = 0;
  int64_t ops = 0;
};

// Summed error by a label, the largest first, equal ones by label.
std::string parts_table(const Ranking& ranking, const char* title, std::string (*label)(const OpRecord&)) {
  std::map<std::string, Part> parts;
  for (const ScoreRecord* score : ranking.scores) {
    Part& part = parts[label(ranking.op(*score))];
    part.metric += ranking.value(*score);
    part.per_position += score->per_position(ranking.run.ranking_metric);
    ++part.ops;
  }
  std::vector<std::pair<std::string, Part>> sorted(parts.begin(), parts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.metric > b.second.metric; });
  Table table({title, ">Ops", ">Summed " + name(ranking.run.ranking_metric) + " per position", ">Share",
               ">Share per op"});
  for (const auto& [text, part] : sorted)
    table.row({plain(text), fmt::format("{}", part.ops), number(part.per_position),
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

// Intervals of one width (scores/interval.h) do not tell what the samples say of each op.
std::string common_factor(const Ranking& ranking) {
  constexpr double kSame = 1e-6;
  std::vector<double> factors;
  for (const ScoreRecord* score : ranking.scores)
    if (const auto interval = ranking_interval(ranking.run, *score); interval && interval->low > 0)
      factors.push_back(std::sqrt(interval->high / interval->low));
  if (factors.empty()) return "";
  const double least = *std::min_element(factors.begin(), factors.end());
  const auto same =
      std::count_if(factors.begin(), factors.end(), [&](double f) { return f <= least * (1 + kSame); });
  if (same < 2 || least <= 1 + kSame) return "";
  return fmt::format(
      "The intervals of {} of {} are the mean divided and multiplied by one common factor, {}: that of the "
      "typical op, for {} cannot tell the spread of a single one any better. They say how far a mean may lie "
      "from that of other data; whether the order holds, the reliability says.\n\n",
      same, counted(static_cast<int64_t>(factors.size()), "op"), number(least),
      counted(ranking.run.data.samples, "sample"));
}

std::string nonlinear_list(const Ranking& ranking) {
  std::vector<std::string> names;
  for (const ScoreRecord* score : ranking.scores)
    if (score->has_flag("nonlinear")) names.push_back(code(ranking.op(*score).name));
  if (names.empty()) return "";
  return fmt::format("Flagged `nonlinear`, an effect too large for an estimate to tell its size: {}.\n\n",
                     shortened_list(names));
}

}  // namespace

std::string ranking_section(const Run& run, const ScoreGroup& group) {
  const Ranking ranking = make_ranking(run, group);
  if (ranking.scores.empty()) return "";
  std::string text =
      fmt::format("### {}, {}, {}\n\n", code(group.format), name(group.mode), name(group.method));
  text += fmt::format("{} {}\n\n", mode_text(group.mode), method_text(group.method));
  text += top_table(ranking);
  if (ranking.scores.size() > kTopOps)
    text += fmt::format("{} more in `scores.csv`.\n\n", ranking.scores.size() - kTopOps);
  text += common_factor(ranking);
  text += nonlinear_list(ranking);
  if (!ranking.additive() || !(ranking.summed > 0)) return text;
  text += concentration(ranking);
  text += parts_table(ranking, "Tower", [](const OpRecord& op) { return op.tower; });
  text += parts_table(ranking, "Role", [](const OpRecord& op) { return op.tower + " / " + op.role; });
  return text + explanations(ranking);
}

}  // namespace qsweep::report
