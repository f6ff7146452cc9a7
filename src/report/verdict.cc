#include "report/verdict.h"

#include <algorithm>
#include <cmath>

#include "report/explain.h"
#include "report/text.h"
#include "report/warnings.h"

namespace qsweep::report {
namespace {

using namespace scores;

// By the share of positions at which the most likely next token changes.
struct Level {
  double below;
  std::string_view name, words;
};
constexpr Level kLevels[] = {{0.01, "little", "hardly changes the output"},
                             {0.05, "some", "changes the output a little"},
                             {0.2, "much", "changes the output clearly"},
                             {HUGE_VAL, "breaks", "breaks the output"}};
constexpr double kFew = 0.15;  // of the ops: they can be kept in higher precision
constexpr size_t kNamed = 5;

std::string value_text(const Measurement& m, Metric metric) {
  return fmt::format("{} is {}{} per position", name(metric), with_interval(m, metric),
                     metric.which == Which::kl ? " nats" : "");
}

const Level& level_of(double flips) {
  return *std::ranges::find_if(kLevels, [&](const Level& level) { return flips < level.below; });
}

// What the format does to the output where every op has it.
void tell_of_everything(const Ranking& ranking, Verdict& verdict) {
  const Baseline* all = ranking.everything;
  const std::string format = code(ranking.group.format);
  if (!all) return;
  if (!all->total) {
    verdict.level = "breaks";
    verdict.sentences.push_back(fmt::format("With every op in {} the output is not finite.", format));
    return;
  }
  const Metric metric = ranking.run.ranking_metric, flips{Which::top1_flips, metric.scope};
  const double flipped = all->per_position(flips);
  if (!all->has(metric) || !all->has(flips) || std::isnan(flipped)) return;
  const Level& level = level_of(flipped);
  verdict.level = level.name;
  verdict.sentences.push_back(
      fmt::format("Every op in {} {}: at {} of {} the most likely next token is another one; {}.", format,
                  level.words, percent(flipped), counted(all->total->of(metric.scope).positions, "position"),
                  value_text(*all, metric)));
}

std::string first_ops(const Ranking& ranking, size_t n) {
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min({n, kNamed, ranking.scores.size()}); ++i) {
    const ScoreRecord& score = *ranking.scores[i];
    const double part = ranking.relative(score);
    names.push_back(code(ranking.op(score).name) + (std::isnan(part) ? "" : " (" + percent(part) + ")"));
  }
  std::string text = fmt::format("{}", fmt::join(names, ", "));
  return n > names.size() ? fmt::format("{} and {} more", text, n - names.size()) : text;
}

double weights_of(const Ranking& ranking, size_t n) {
  double part = 0, all = 0;
  for (const OpRecord& op : ranking.run.ops) all += static_cast<double>(op.parameters);
  for (size_t i = 0; i < n; ++i) part += static_cast<double>(ranking.op(*ranking.scores[i]).parameters);
  return all > 0 ? part / all : kUndefined;
}

// Where the damage is, and so what to do.
void tell_of_places(const Ranking& ranking, Verdict& verdict) {
  const size_t n = ranking.scores.size();
  if (n == 0) {
    verdict.sentences.push_back(
        fmt::format("No op has a score in {}; the warnings say why.", code(ranking.group.format)));
    return;
  }
  const Concentration most = ranking.concentration();
  if (most.ops == 0) {
    verdict.sentences.push_back("The most sensitive ops: " + first_ops(ranking, kNamed) + ".");
  } else if (n == 1) {
    verdict.sentences.push_back("The only op with a score is " + first_ops(ranking, 1) + ".");
  } else if (static_cast<double>(most.ops) <= std::max(1.0, kFew * static_cast<double>(n))) {
    verdict.sentences.push_back(fmt::format(
        "The damage is done at few places: {} of {} carry {} of the summed error and hold {} of the weights. "
        "Keep in higher precision first: {}.",
        most.ops, counted(static_cast<int64_t>(n), "op"), percent(most.share),
        percent(weights_of(ranking, most.ops)), first_ops(ranking, most.ops)));
  } else {
    verdict.sentences.push_back(fmt::format(
        "The damage is spread: it takes {} of {} to make up {} of the summed error, so a few "
        "exceptions do not cure it. The first are {}.",
        most.ops, counted(static_cast<int64_t>(n), "op"), percent(most.share), first_ops(ranking, kNamed)));
  }
}

void tell_why(const Ranking& ranking, Verdict& verdict) {
  if (!ranking.additive() || ranking.scores.empty() || !(ranking.summed > 0)) return;
  const ScoreRecord& worst = *ranking.scores.front();
  verdict.sentences.push_back(
      fmt::format("Why {}: {}", code(ranking.op(worst).name),
                  explain(ranking.run, worst, typical_op(ranking.run, ranking.group))));
}

const Reliability* reliability_of(const Ranking& ranking) {
  for (const Reliability& r : ranking.run.reliability)
    if (r.format == ranking.group.format && r.mode == ranking.group.mode && r.method == ranking.group.method)
      return &r;
  return nullptr;
}

void tell_how_sure(const Ranking& ranking, Verdict& verdict) {
  if (ranking.scores.empty()) return;
  const std::string samples = counted(ranking.run.data.samples, "sample");
  std::string text;
  if (const Reliability* r = reliability_of(ranking))
    text = fmt::format(
        "How sure: between random halves of the {} the order agrees to {} (1 is the same order): {}.",
        samples, number(r->spearman),
        r->spearman >= kReliableRanking ? "it can be used as a ranking"
                                        : "it must not be taken for a ranking");
  else
    text = fmt::format("How sure: not known, for {} cannot tell how well the order holds on other data.",
                       samples);
  const auto flagged = std::ranges::count_if(
      ranking.scores, [](const ScoreRecord* score) { return score->has_flag("approximate"); });
  if (flagged > 0)
    text += fmt::format(" {} of the {} are estimates, not measured at the output.", flagged,
                        counted(std::ssize(ranking.scores), "score"));
  verdict.sentences.push_back(text);
}

}  // namespace

Verdict verdict(const Ranking& ranking) {
  Verdict verdict{.level = "unknown", .sentences = {}};
  tell_of_everything(ranking, verdict);
  tell_of_places(ranking, verdict);
  tell_why(ranking, verdict);
  tell_how_sure(ranking, verdict);
  return verdict;
}

std::string headline(const Run& run) {
  std::vector<const Baseline*> measured;
  for (const Baseline& baseline : run.baselines)
    if (!baseline.format.empty() && !std::isnan(baseline.per_position(run.ranking_metric)))
      measured.push_back(&baseline);
  if (measured.size() < 2) return "";
  const auto value = [&](const Baseline* b) { return b->per_position(run.ranking_metric); };
  const auto [least, most] = std::ranges::minmax_element(measured, {}, value);
  return fmt::format(
      "Of {} formats, each with every op in it, {} changes the output least ({}) and {} most ({}).",
      measured.size(), code((*least)->format), value_text(**least, run.ranking_metric), code((*most)->format),
      value_text(**most, run.ranking_metric));
}

}  // namespace qsweep::report
