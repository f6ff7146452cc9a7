#include "report/view_run.h"

#include <cmath>
#include <functional>
#include <map>

#include "report/explain.h"
#include "report/groups.h"
#include "report/meaning.h"
#include "report/ranked.h"
#include "report/scopes.h"
#include "report/text.h"
#include "report/verdict.h"
#include "report/warnings.h"

namespace qsweep::report {
namespace {

using namespace scores;
using io::Json;

constexpr size_t kExplained = 20;

template <class Records, class Function>
Json column(const Records& records, Function value) {
  Json array = Json::array();
  for (const auto& record : records) array.push_back(value(record));
  return array;
}

template <class T>
Json or_nothing(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json ops_view(const std::vector<OpRecord>& ops) {
  return {{"name", column(ops, [](const OpRecord& op) { return op.name; })},
          {"tower", column(ops, [](const OpRecord& op) { return op.tower; })},
          {"block", column(ops, [](const OpRecord& op) { return or_nothing(op.block); })},
          {"role", column(ops, [](const OpRecord& op) { return op.role; })},
          {"in", column(ops, [](const OpRecord& op) { return op.in_features; })},
          {"out", column(ops, [](const OpRecord& op) { return op.out_features; })},
          {"parameters", column(ops, [](const OpRecord& op) { return op.parameters; })},
          {"group", column(ops, [](const OpRecord& op) { return or_nothing(op.fusion_group); })}};
}

Json baseline_view(const Run& run, const Baseline& baseline) {
  const Metric metric = run.ranking_metric;
  return {{"name", baseline.name},
          {"format", baseline.format},
          {"value", rounded(baseline.per_position(metric))},
          {"interval", rounded(baseline.intervals.of(metric))},
          {"flips", rounded(baseline.per_position({Which::top1_flips, metric.scope}))},
          {"perplexity", rounded(baseline.perplexity_ratio(metric.scope))},
          {"float_ops", baseline.float_ops.size()}};
}

// The sum over positions of what ranks, by the counts that every score of the group has.
int64_t positions_of(const Ranking& ranking) {
  const Metric metric = ranking.run.ranking_metric;
  for (const ScoreRecord* score : ranking.scores)
    if (score->total) return count(score->total->of(metric.scope), metric.which);
  return 0;
}

Json local_number(const ScoreRecord& score, double (LocalStats::*statistic)() const) {
  return score.local ? rounded((*score.local.*statistic)()) : Json();
}

Json scores_view(const Ranking& ranking) {
  const Run& run = ranking.run;
  const Scope scope = run.ranking_metric.scope;
  const auto& members = ranking.group.members;
  const auto of = [&](auto value) {
    return column(members, [&](size_t i) { return Json(value(run.scores[i])); });
  };
  const auto metric = [&](Which which) {
    return of([&, which](const ScoreRecord& s) { return rounded(s.per_position({which, scope})); });
  };
  const auto local = [&](double (LocalStats::*statistic)() const) {
    return of([statistic](const ScoreRecord& s) { return local_number(s, statistic); });
  };
  return {{"op", of([](const ScoreRecord& s) { return s.op; })},
          {"status", of([](const ScoreRecord& s) { return std::string(name(s.status)); })},
          {"method", of([](const ScoreRecord& s) { return std::string(name(s.method)); })},
          {"rank", of([](const ScoreRecord& s) { return or_nothing(s.rank); })},
          {"value", of([&](const ScoreRecord& s) { return s.rank ? rounded(mean_value(run, s)) : Json(); })},
          {"interval", of([&](const ScoreRecord& s) { return rounded(ranking_interval(run, s)); })},
          {"share", of([&](const ScoreRecord& s) { return s.rank ? rounded(ranking.relative(s)) : Json(); })},
          {"bits", of([](const ScoreRecord& s) { return rounded(s.effective_bits); })},
          {"kl", metric(Which::kl)},
          {"flips", metric(Which::top1_flips)},
          {"relative_error", local(&LocalStats::relative_error)},
          {"sqnr_db", local(&LocalStats::sqnr_db)},
          {"outlier_ratio", local(&LocalStats::outlier_ratio)},
          {"input_absmax", local(&LocalStats::input_absmax)},
          {"spread_from", of([](const ScoreRecord& s) { return or_nothing(s.spread_from); })},
          {"flags", of([](const ScoreRecord& s) { return fmt::format("{}", fmt::join(s.flags, " ")); })}};
}

// {op index: sentences} of the first ops.
Json explained_ops(const Ranking& ranking) {
  Json texts = Json::object();
  if (!ranking.additive() || !(ranking.summed > 0)) return texts;
  const TypicalOp typical = typical_op(ranking.run, ranking.group);
  for (size_t i = 0; i < std::min(kExplained, ranking.scores.size()); ++i)
    texts[std::to_string(ranking.scores[i]->op)] = explain(ranking.run, *ranking.scores[i], typical);
  return texts;
}

std::string value_name(const Ranking& ranking) {
  if (ranking.local()) return "relative error at the op";
  const Metric metric = ranking.run.ranking_metric;
  return name(metric) + (metric.which == Which::kl ? " per position, nats" : " per position");
}

std::string share_name(const Ranking& ranking) {
  if (ranking.additive()) return "share of the summed error";
  const std::string all = "all:" + ranking.group.format;
  return ranking.group.mode == Mode::leave_one_out ? "taken off the error of " + all
                                                   : "of the error of " + all;
}

Json group_view(const Run& run, const ScoreGroup& group) {
  const Ranking ranking = make_ranking(run, group);
  const Verdict words = verdict(ranking);
  const Baseline* everything = ranking.everything;
  Json reliability;
  for (const Reliability& r : run.reliability)
    if (r.format == group.format && r.mode == group.mode && r.method == group.method)
      reliability = rounded(r.spearman);
  return {{"format", group.format},
          {"mode", std::string(name(group.mode))},
          {"method", std::string(name(group.method))},
          {"meaning", fmt::format("{} {}", mode_text(group.mode), method_text(group.method))},
          {"level", words.level},
          {"level_text", level_text(words)},
          {"verdict", column(words.parts,
                             [](const Verdict::Part& p) {
                               return Json::array({p.topic, p.text});
                             })},
          {"value_name", value_name(ranking)},
          {"share_name", share_name(ranking)},
          {"additive", ranking.additive()},
          {"ranked", ranking.scores.size()},
          {"positions", positions_of(ranking)},
          {"everything", everything ? baseline_view(run, *everything) : Json()},
          {"reliability", reliability},
          {"explanations", explained_ops(ranking)},
          {"scores", scores_view(ranking)}};
}

Json measured_group_view(const Run& run, const GroupScore& group) {
  const Metric metric = run.ranking_metric;
  return {{"name", group.name},
          {"format", group.format},
          {"ops", group.ops},
          {"value", rounded(group.per_position(metric))},
          {"interval", rounded(group.intervals.of(metric))},
          {"sum", rounded(ops_per_position(run, group))},
          {"ratio", rounded(ratio_to_ops(run, group))}};
}

}  // namespace

Json rounded(double value) {
  return std::isfinite(value) ? Json(std::stod(fmt::format("{:.6g}", value))) : Json();
}

Json rounded(const std::optional<Interval>& interval) {
  return interval ? Json::array({rounded(interval->low), rounded(interval->high)}) : Json();
}

Json run_view(const Run& run) {
  return {{"headline", headline(run)},
          {"summary", summary_line(run)},
          {"warnings", warnings(run)},
          {"samples", run.data.samples},
          {"metric", name(run.ranking_metric)},
          {"ops", ops_view(run.ops)},
          {"together",
           column(largest_first(run), [&](const GroupScore* g) { return measured_group_view(run, *g); })},
          {"groups", column(group_scores(run), [&](const ScoreGroup& g) { return group_view(run, g); })}};
}

}  // namespace qsweep::report
