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

void tell(Verdict& verdict, const char* topic, std::string text) {
  verdict.parts.push_back({topic, std::move(text)});
}

// What the format does to the output where every op has it.
void tell_of_everything(const Ranking& ranking, Verdict& verdict) {
  const Baseline* all = ranking.everything;
  const std::string format = code(ranking.group.format);
  if (!all) return;
  if (!all->total) {
    verdict.level = "breaks";
    tell(verdict, "How much", fmt::format("With every op in {} the output is not finite.", format));
    return;
  }
  const Metric metric = ranking.run.ranking_metric, flips{Which::top1_flips, metric.scope};
  const double flipped = all->per_position(flips);
  if (!all->has(metric) || !all->has(flips) || std::isnan(flipped)) return;
  const Level& level = level_of(flipped);
  verdict.level = level.name;
  tell(verdict, "How much",
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

// Behind a share of the error; caches hold none.
std::string weights_held(const Ranking& ranking, size_t n) {
  if (ranking.op(*ranking.scores.front()).cache) return "";
  return fmt::format(" and hold {} of the weights", percent(weights_of(ranking, n)));
}

bool is_little(const Verdict& verdict) { return verdict.level == kLevels[0].name; }

// Of errors that add up.
void tell_of_damage(const Ranking& ranking, const Concentration& most, Verdict& verdict) {
  const auto n = std::ssize(ranking.scores);
  const std::string carry = fmt::format("{} of {} carry {} of the summed error{}", most.ops, counted(n, "op"),
                                        percent(most.share), weights_held(ranking, most.ops));
  if (static_cast<double>(most.ops) <= std::max(1.0, kFew * static_cast<double>(n))) {
    tell(verdict, "Where", "The damage is done at few places: " + carry + ".");
    tell(verdict, "What to do",
         (is_little(verdict) ? "Nothing has to be kept on such data; first would be: "
                             : "Keep in higher precision first: ") +
             first_ops(ranking, most.ops) + ".");
    return;
  }
  tell(verdict, "Where",
       fmt::format("The damage is spread: {}. The first are {}.", carry, first_ops(ranking, kNamed)));
  tell(verdict, "What to do",
       is_little(verdict)
           ? "Nothing has to be kept in higher precision on such data."
           : "A few exceptions do not cure it: take another format, or let `qsweep recipe` choose one for "
             "every op within the bits that you have.");
}

// Of errors that may not be added.
void tell_of_first(const Ranking& ranking, Verdict& verdict) {
  tell(verdict, "Where",
       "The most sensitive ops: " + first_ops(ranking, std::min(kNamed, ranking.scores.size())) + ".");
  if (ranking.group.mode == Mode::leave_one_out)
    tell(verdict, "What to do",
         "Keep these in higher precision first; in brackets stands how much of the error one takes off.");
}

// Where the damage is, and so what to do.
void tell_of_places(const Ranking& ranking, Verdict& verdict) {
  if (ranking.scores.empty()) {
    tell(verdict, "Where",
         fmt::format("No op has a score in {}; the warnings say why.", code(ranking.group.format)));
    return;
  }
  const Concentration most = ranking.concentration();
  if (ranking.scores.size() == 1)
    tell(verdict, "Where", "The only op with a score is " + first_ops(ranking, 1) + ".");
  else if (most.ops == 0)
    tell_of_first(ranking, verdict);
  else
    tell_of_damage(ranking, most, verdict);
}

void tell_why(const Ranking& ranking, Verdict& verdict) {
  if (!ranking.additive() || ranking.scores.empty() || !(ranking.summed > 0)) return;
  const ScoreRecord& worst = *ranking.scores.front();
  tell(verdict, "Why",
       fmt::format("{}: {}", code(ranking.op(worst).name),
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
    text = fmt::format("Between random halves of the {} the order agrees to {} (1 is the same order): {}.",
                       samples, number(r->spearman),
                       r->spearman >= kReliableRanking ? "it can be used as a ranking"
                                                       : "it must not be taken for a ranking");
  else
    text = fmt::format("Not known, for {} cannot tell how well the order holds on other data.", samples);
  const auto flagged = std::ranges::count_if(
      ranking.scores, [](const ScoreRecord* score) { return score->has_flag("approximate"); });
  if (flagged > 0)
    text += fmt::format(" {} of the {} are estimates, not measured at the output.", flagged,
                        counted(std::ssize(ranking.scores), "score"));
  tell(verdict, "How sure", text);
}

}  // namespace

Verdict verdict(const Ranking& ranking) {
  Verdict verdict{.level = "unknown", .parts = {}};
  tell_of_everything(ranking, verdict);
  tell_of_places(ranking, verdict);
  tell_why(ranking, verdict);
  tell_how_sure(ranking, verdict);
  return verdict;
}

std::string level_text(const Verdict& verdict) {
  const auto* level = std::ranges::find(kLevels, verdict.level, &Level::name);
  return level == std::end(kLevels) ? "not measured as a whole" : std::string(level->words);
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

std::string verdict_section(const Run& run) {
  std::string text;
  for (const ScoreGroup& group : group_scores(run)) {
    const Verdict found = verdict(make_ranking(run, group));
    text += fmt::format("{}, {}, {}: {}.\n\n", code(group.format), name(group.mode), name(group.method),
                        level_text(found));
    for (const Verdict::Part& part : found.parts)
      text += fmt::format("- **{}**: {}\n", part.topic, part.text);
    text += "\n";
  }
  if (text.empty()) return "";
  const std::string all = headline(run);
  return "## Verdict\n\n" + (all.empty() ? "" : all + "\n\n") + text;
}

}  // namespace qsweep::report
