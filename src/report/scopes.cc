#include "report/scopes.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/stats.h"
#include "report/text.h"
#include "report/warnings.h"

namespace qsweep::report {
namespace {

using namespace scores;

constexpr int64_t kFirst = 10;
constexpr size_t kLeastOps = 3;
constexpr double kMostly = 0.5;
// Rankings from 8 and from 48 samples have 7 to 10 of the first 10 in common (docs/interpretation.md).
constexpr double kLeastInCommon = 0.7;

Metric in_other_scope(Metric metric) {
  return {metric.which, metric.scope == Scope::all ? Scope::answer : Scope::all};
}

// The first k by value, the largest first, equal ones in op order.
std::vector<size_t> first_of(const std::vector<double>& values, int64_t k) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] > values[b]; });
  order.resize(static_cast<size_t>(k));
  return order;
}

double share_of(const std::vector<double>& values, const std::vector<size_t>& chosen) {
  const double all = std::accumulate(values.begin(), values.end(), 0.0);
  double part = 0;
  for (const size_t i : chosen) part += values[i];
  return all > 0 ? part / all : kUndefined;
}

std::string described(const ScopeAgreement& a) {
  return fmt::format("{} ({}, {})", code(a.group.format), name(a.group.mode), name(a.group.method));
}

std::string in_common(const ScopeAgreement& a) { return fmt::format("{} of the first {}", a.overlap, a.k); }

bool same_positions(const ScoreRecord& score) {
  return score.total->all.positions == score.total->answer.positions;
}

std::optional<ScopeAgreement> agreement_of(const Run& run, const ScoreGroup& group) {
  ScopeAgreement a{.group = group, .metric = run.ranking_metric, .other = in_other_scope(run.ranking_metric)};
  const double sign =
      group.mode == Mode::leave_one_out ? -1 : 1;  // the largest value is the most sensitive op
  std::vector<double> values, others;
  for (const size_t i : group.members) {
    const ScoreRecord& score = run.scores[i];
    const double value = score.per_position(a.metric), other = score.per_position(a.other);
    if (std::isnan(value) || std::isnan(other) || same_positions(score)) continue;
    values.push_back(sign * value);
    others.push_back(sign * other);
  }
  if (values.size() < kLeastOps) return std::nullopt;
  a.ops = static_cast<int64_t>(values.size());
  a.spearman = spearman(values, others);
  if (std::isnan(a.spearman)) return std::nullopt;
  a.k = std::min(kFirst, std::max<int64_t>(1, a.ops / 2));
  const std::vector<size_t> first = first_of(values, a.k), first_of_other = first_of(others, a.k);
  const std::set<size_t> chosen(first.begin(), first.end());
  a.overlap = std::count_if(first_of_other.begin(), first_of_other.end(),
                            [&](size_t i) { return chosen.contains(i); });
  const bool additive = group.mode == Mode::isolated;
  a.carried = additive ? share_of(others, first) : kUndefined;
  a.own = additive ? share_of(others, first_of_other) : kUndefined;
  return a;
}

std::string unit_of(Metric metric) {
  return metric.which == Which::kl           ? "nats"
         : metric.which == Which::logits_sse ? "squared change of the logits"
                                             : "squared change of the hidden state";
}

void warn_of_images(const Run& run, std::vector<std::string>& out) {
  const DataInfo& data = run.data;
  if (run.ranking_metric.scope == Scope::answer || !data.image_tokens || data.tokens == 0) return;
  const double share = static_cast<double>(*data.image_tokens) / static_cast<double>(data.tokens);
  if (share <= kMostly) return;
  std::string text = fmt::format(
      "{} of the {} are image placeholders, whose prediction nobody reads: {} is "
      "mostly about them.",
      percent(share), counted(data.tokens, "token"), code(name(run.ranking_metric)));
  if (data.answer_tokens > 0)
    text += " Answers alone are ranked by `--metric " + name(in_other_scope(run.ranking_metric)) + "`.";
  out.push_back(text);
}

}  // namespace

bool ScopeAgreement::disagrees() const {
  return spearman < kReliableRanking ||
         static_cast<double>(overlap) < kLeastInCommon * static_cast<double>(k);
}

std::vector<ScopeAgreement> scope_agreements(const Run& run) {
  std::vector<ScopeAgreement> all;
  for (const ScoreGroup& group : group_scores(run))
    if (group.method != Method::local)
      if (auto a = agreement_of(run, group)) all.push_back(std::move(*a));
  return all;
}

std::string token_text(const DataInfo& data) {
  const std::string tokens = counted(data.tokens, "token");
  if (data.tokens == 0) return tokens;
  const auto part = [&](int64_t n) {
    return fmt::format("{} ({})", n, percent(static_cast<double>(n) / static_cast<double>(data.tokens)));
  };
  std::string text = fmt::format("{}: {} answer", tokens, part(data.answer_tokens));
  if (data.image_tokens)
    text += fmt::format(", {} image placeholders, {} prompt", part(*data.image_tokens),
                        part(*data.prompt_tokens()));
  return text;
}

std::string summary_line(const Run& run) {
  const auto measured = std::find_if(run.scores.begin(), run.scores.end(), [&](const ScoreRecord& score) {
    return !std::isnan(score.per_position(run.ranking_metric));
  });
  std::string text = fmt::format("{} on {}, {}.", counted(static_cast<int64_t>(run.ops.size()), "op"),
                                 counted(run.data.samples, "sample"), token_text(run.data));
  if (measured != run.scores.end())
    text +=
        fmt::format(" Ranked by {}, the mean over {} in {}.", code(name(run.ranking_metric)),
                    counted(count(measured->total->of(run.ranking_metric.scope), run.ranking_metric.which),
                            run.ranking_metric.scope == Scope::all ? "position" : "answer position"),
                    unit_of(run.ranking_metric));
  if (run.reranked_from)
    text += fmt::format(" The ranks were found anew from `scores.json`; the run itself ranks by {}.{}",
                        code(name(*run.reranked_from)),
                        run.reliability.empty() ? " How reliable this order is, the run does not know." : "");
  return text + "\n\n";
}

std::string scope_section(const Run& run) {
  const std::vector<ScopeAgreement> all = scope_agreements(run);
  if (all.empty()) return "";
  const std::string other = name(all.front().other);
  Table table({"Format", "Mode", "Method", ">Ops", ">Spearman with the ranking by " + other, ">In common",
               ">Of the summed " + other + ", these first carry", ">its own first"});
  for (const ScopeAgreement& a : all)
    table.row({code(a.group.format), std::string(name(a.group.mode)), std::string(name(a.group.method)),
               fmt::format("{}", a.ops), number(a.spearman), in_common(a), percent(a.carried),
               percent(a.own)});
  return "## All positions, or answers\n\n" + token_text(run.data) +
         ". A position counts by the token that comes next.\n\n" + table.text();
}

void warn_of_scopes(const Run& run, std::vector<std::string>& out) {
  for (const ScopeAgreement& a : scope_agreements(run)) {
    if (!a.disagrees()) continue;
    std::string text = fmt::format(
        "The rankings of {} by {} and by {} disagree: Spearman {} over {}, {} in common", described(a),
        code(name(a.metric)), code(name(a.other)), number(a.spearman), counted(a.ops, "op"), in_common(a));
    if (!std::isnan(a.carried))
      text += fmt::format("; the first {} carry {} of the summed {}, its own first {} carry {}", a.k,
                          percent(a.carried), code(name(a.other)), a.k, percent(a.own));
    out.push_back(text + fmt::format(". `qsweep report RUN --metric {}` ranks by the other.", name(a.other)));
  }
  warn_of_images(run, out);
}

}  // namespace qsweep::report
