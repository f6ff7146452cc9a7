#include "choose/question.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/ranges.h>

#include "base/error.h"
#include "scores/joint.h"
#include "scores/op_names.h"

namespace qsweep::choose {
namespace {

constexpr int64_t kFloatBits = 16;

// What a run has that a choice cannot be made by, in words.
std::string other_scores(const scores::Run& run) {
  std::set<std::string> kinds;
  for (const scores::ScoreGroup& group : scores::group_scores(run))
    kinds.insert(fmt::format("{} {} {}", group.format, name(group.mode), name(group.method)));
  return kinds.empty() ? "none" : fmt::format("{}", fmt::join(kinds, ", "));
}

class Asking {
 public:
  Asking(const scores::Run& run, const Wishes& wishes)
      : run_(run), wishes_(wishes), names_(scores::names_of(run.ops)) {
    choose_groups();
    apply_fixes();
  }

  Question ask(const std::optional<scores::Interactions>& interactions);

 private:
  // Ops that must have one format, whatever the grouping: fused ones, else single ones.
  using Unit = std::vector<size_t>;

  void choose_groups();
  void apply_fixes();
  // Those that it may have, in which each of its ops has a score, or follows others that have one.
  std::vector<std::string> scored_formats(const Unit& unit, const Fix* fix) const;
  // Those of them that are refused to none of its ops. Error where that leaves nothing of what is fixed.
  std::vector<std::string> formats_of_unit(const Unit& unit, const Fix* fix) const;
  std::optional<std::string> refusal(const Unit& unit, const std::string& format) const;
  bool is_wanted(const std::string& format) const;
  std::vector<Decision> decisions(Question& question) const;
  std::vector<std::string> names_of(const Unit& unit) const;
  const Fix* fix_of(const Unit& unit) const;
  void tell_unscored(const Unit& unit, Question& question) const;
  std::vector<Choice> choices(const Decision& decision, const std::vector<std::string>& formats) const;
  std::vector<size_t> parts(const Decision& decision, const std::string& format) const;
  Choice choice(const Decision& decision, const quant::Format* format) const;
  void add_pairs(const std::optional<scores::Interactions>& interactions, std::vector<Decision>& decisions,
                 std::vector<double>& pairs, Question& question) const;

  const scores::Run& run_;
  const Wishes& wishes_;
  std::vector<std::string> names_;
  std::vector<scores::ScoreGroup> groups_;
  std::map<std::string, std::map<size_t, size_t>> score_of_;  // by format and op
  // By format, names of the ops of every group of the run; none where it was not measured in that format.
  std::map<std::string, std::vector<std::vector<std::string>>> groups_of_;
  std::vector<const Fix*> fix_of_;  // by op; null where it is free
  std::vector<bool> unreached_;     // by op: no row of the data came there, so nothing is known of it
};

void Asking::choose_groups() {
  groups_ = scores::isolated_groups(run_, wishes_.metric);
  if (groups_.empty())
    fail(
        "expected isolated scores of {}, found {}: only what an op alone does to the output tells what many "
        "do "
        "together",
        name(wishes_.metric), other_scores(run_));
  std::vector<std::string> known;
  for (const scores::ScoreGroup& group : groups_) known.push_back(group.format);
  for (const std::string& format : wishes_.formats)
    if (std::ranges::find(known, format) == known.end())
      fail("expected formats that the run has scores of {} in, which are {}, found \"{}\"",
           name(wishes_.metric), fmt::join(known, ", "), format);
  for (const scores::ScoreGroup& group : groups_)
    for (const size_t i : group.members)
      if (run_.scores[i].has(wishes_.metric))
        score_of_[group.format][static_cast<size_t>(run_.scores[i].op)] = i;
  unreached_.resize(names_.size());
  for (const scores::ScoreRecord& score : run_.scores)
    if (score.status == scores::Status::unexercised) unreached_[static_cast<size_t>(score.op)] = true;
  for (size_t i = 0; i < run_.groups.size(); ++i) {
    auto& of_format = groups_of_[run_.groups[i].format];
    of_format.resize(run_.groups.size());
    if (run_.groups[i].has(wishes_.metric)) of_format[i] = op_names(run_, run_.groups[i]);
  }
}

void Asking::apply_fixes() {
  fix_of_.resize(names_.size());
  for (const Fix& fix : wishes_.fixed) {
    const std::vector<bool> matching = scores::matching_ops(fix.pattern, names_);
    if (std::ranges::find(matching, true) == matching.end())
      fail("{}: no op of the run matches \"{}\"", fix.flag, fix.pattern);
    const auto is_for = [&](size_t op) {
      return fix.format == nullptr || fix.format->of_caches == run_.ops[op].cache.has_value();
    };
    for (size_t op = 0; op < names_.size(); ++op)
      if (matching[op] && is_for(op)) fix_of_[op] = &fix;
  }
}

bool Asking::is_wanted(const std::string& format) const {
  return wishes_.formats.empty() || std::ranges::find(wishes_.formats, format) != wishes_.formats.end();
}

std::vector<std::string> Asking::scored_formats(const Unit& unit, const Fix* fix) const {
  std::vector<std::string> formats;
  for (const scores::ScoreGroup& group : groups_) {
    if (fix == nullptr ? !is_wanted(group.format)
                       : fix->format == nullptr || fix->format->name != group.format)
      continue;
    const auto scored = score_of_.find(group.format);
    if (scored == score_of_.end()) continue;
    const auto has_score = [&](size_t op) { return scored->second.contains(op); };
    if (std::ranges::any_of(unit, has_score) &&
        std::ranges::all_of(unit, [&](size_t op) { return has_score(op) || unreached_[op]; }))
      formats.push_back(group.format);
  }
  return formats;
}

std::optional<std::string> Asking::refusal(const Unit& unit, const std::string& format) const {
  if (!wishes_.refusal) return std::nullopt;
  for (const size_t op : unit)
    if (auto why = wishes_.refusal(run_.ops[op], &quant::find_format(format))) return why;
  return std::nullopt;
}

std::vector<std::string> Asking::formats_of_unit(const Unit& unit, const Fix* fix) const {
  std::vector<std::string> formats = scored_formats(unit, fix);
  for (size_t i = formats.size(); i-- > 0;) {
    const std::optional<std::string> why = refusal(unit, formats[i]);
    if (why && fix != nullptr) fail("{}: \"{}\": {}", fix->flag, fix->pattern, *why);
    if (why) formats.erase(formats.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return formats;
}

std::vector<std::string> Asking::names_of(const Unit& unit) const {
  std::vector<std::string> names;
  for (const size_t op : unit) names.push_back(names_[op]);
  return names;
}

// What gives the unit its format, if anything does; all of its ops must be given the same.
const Fix* Asking::fix_of(const Unit& unit) const {
  const Fix* first = fix_of_[unit.front()];
  for (const size_t op : unit) {
    const Fix* fix = fix_of_[op];
    const bool same = fix == first || (fix != nullptr && first != nullptr && fix->format == first->format);
    if (same) continue;
    const Fix* given = fix != nullptr ? fix : first;
    fail("{}: \"{}\": expected all or none of the ops that are stored as {}, which are {}", given->flag,
         given->pattern, *run_.ops[op].fusion_group, fmt::join(names_of(unit), ", "));
  }
  return first;
}

void Asking::tell_unscored(const Unit& unit, Question& question) const {
  if (!scored_formats(unit, nullptr).empty()) {
    for (const size_t op : unit) question.refused.push_back(names_[op]);
    return;
  }
  const auto scored = [&](size_t op) {
    return std::ranges::any_of(score_of_, [&](const auto& format) { return format.second.contains(op); });
  };
  const bool all = std::ranges::all_of(unit, scored);
  for (const size_t op : unit)
    (!scored(op) || all ? question.unscored : question.with_unscored).push_back(names_[op]);
}

// Of the ops in the format: groups that were measured, and the scores of those that are in none.
std::vector<size_t> Asking::parts(const Decision& decision, const std::string& format) const {
  std::set<std::string> left;
  for (const size_t op : decision.ops) left.insert(names_[op]);
  std::vector<size_t> parts, groups;
  if (const auto measured = groups_of_.find(format); measured != groups_of_.end())
    groups = scores::take_groups(measured->second, left);
  const auto& score_of = score_of_.at(format);
  for (const size_t op : decision.ops)
    if (left.contains(names_[op]) && score_of.contains(op)) parts.push_back(score_of.at(op));
  for (const size_t group : groups) parts.push_back(part_of_group(run_, group));
  return parts;
}

Choice Asking::choice(const Decision& decision, const quant::Format* format) const {
  Choice choice{.format = format};
  for (const size_t op : decision.ops) choice.bits += stored_bits(run_.ops[op], format);
  if (format != nullptr) choice.scores = parts(decision, std::string(format->name));
  for (const size_t number : choice.scores) choice.error += part(run_, number).sum(wishes_.metric);
  return choice;
}

std::vector<Choice> Asking::choices(const Decision& decision, const std::vector<std::string>& formats) const {
  if (const Fix* fix = fix_of_[decision.ops.front()]; fix != nullptr) {
    if (fix->format != nullptr && std::ranges::find(formats, fix->format->name) == formats.end())
      fail("{}: {}: expected a score of {} in {}, found none", fix->flag, fix->pattern, decision.name,
           fix->format->name);
    return {choice(decision, fix->format)};
  }
  std::vector<Choice> choices;
  // A cache has no weight whose bits a budget could save, so it has a format where it is given one.
  if (run_.ops[decision.ops.front()].cache) return {choice(decision, nullptr)};
  for (const std::string& format : formats) choices.push_back(choice(decision, &quant::find_format(format)));
  choices.push_back(choice(decision, nullptr));
  return choices;
}

std::vector<Decision> Asking::decisions(Question& question) const {
  std::vector<Decision> decisions;
  std::vector<std::vector<std::string>> formats;  // of each
  std::map<std::pair<std::string, const Fix*>, size_t> place;
  for (const Unit& unit : scores::units(run_.ops, wishes_.grouping)) {
    const Fix* fix = fix_of(unit);
    const std::vector<std::string> of_unit = formats_of_unit(unit, fix);
    if (of_unit.empty() && fix == nullptr) tell_unscored(unit, question);
    for (const size_t op : unit)
      if (unreached_[op] && !of_unit.empty()) question.followers.push_back(names_[op]);
    // What has no score must not keep others from theirs.
    const std::string key = of_unit.empty() && fix == nullptr ? names_[unit.front()]
                                                              : group_name(run_.ops, unit, wishes_.grouping);
    const auto [at, is_new] = place.try_emplace({key, fix}, decisions.size());
    if (is_new) {
      decisions.push_back({.name = key, .ops = {}, .choices = {}});
      formats.push_back(of_unit);
    }
    auto& ops = decisions[at->second].ops;
    ops.insert(ops.end(), unit.begin(), unit.end());
    std::erase_if(formats[at->second],
                  [&](const std::string& f) { return std::ranges::find(of_unit, f) == of_unit.end(); });
  }
  for (size_t d = 0; d < decisions.size(); ++d) decisions[d].choices = choices(decisions[d], formats[d]);
  return decisions;
}

void Asking::add_pairs(const std::optional<scores::Interactions>& interactions,
                       std::vector<Decision>& decisions, std::vector<double>& pairs,
                       Question& question) const {
  if (!interactions) {
    question.without_pairs = "the run has no sketches of the metric: score --sketch";
    return;
  }
  std::vector<std::pair<size_t, const Choice*>> all;  // with their decisions
  size_t missing = 0;
  for (size_t d = 0; d < decisions.size(); ++d)
    for (Choice& choice : decisions[d].choices) {
      all.emplace_back(d, &choice);
      for (const size_t score : choice.scores) missing += interactions->has(score) ? 0 : 1;
    }
  if (missing > 0) {
    question.without_pairs = fmt::format("{} scores have no sketch", missing);
    return;
  }
  for (Decision& decision : decisions)
    for (Choice& choice : decision.choices) choice.error += interactions->pairs(choice.scores);
  pairs.assign(all.size() * all.size(), 0);
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      if (all[i].first == all[j].first) continue;
      double sum = 0;
      for (const size_t a : all[i].second->scores)
        for (const size_t b : all[j].second->scores) sum += interactions->between(a, b);
      pairs[i * all.size() + j] = pairs[j * all.size() + i] = sum;
    }
}

int64_t positions_of(const scores::Run& run, const std::vector<scores::ScoreGroup>& groups,
                     scores::Metric metric) {
  for (const scores::ScoreGroup& group : groups)
    for (const size_t i : group.members)
      if (const auto& total = run.scores[i].total) return count(total->of(metric.scope), metric.which);
  return 0;
}

Question Asking::ask(const std::optional<scores::Interactions>& interactions) {
  const int64_t positions = positions_of(run_, groups_, wishes_.metric);
  if (positions == 0)
    fail("{}: expected data with positions of this scope, found none", name(wishes_.metric));
  Question question{.problem = Problem({}, 0, 0)};
  std::vector<Decision> all = decisions(question);
  std::vector<double> pairs;
  add_pairs(interactions, all, pairs, question);
  for (const Decision& decision : all)
    for (const Choice& choice : decision.choices)
      question.measured_groups += static_cast<size_t>(
          std::ranges::count_if(choice.scores, [&](size_t i) { return i >= run_.scores.size(); }));
  question.problem = Problem(std::move(all), weights_of(run_), positions, std::move(pairs));
  for (const scores::ScoreGroup& group : groups_) {
    const bool of_caches =
        run_.ops[static_cast<size_t>(run_.scores[group.members.front()].op)].cache.has_value();
    if (of_caches || !is_wanted(group.format)) continue;
    question.formats.push_back(group.format);
    const auto estimate = std::ranges::find_if(group.members, [&](size_t i) {
      return run_.scores[i].has(wishes_.metric) && run_.scores[i].method != scores::Method::exact;
    });
    if (estimate != group.members.end())
      question.estimated.push_back(fmt::format("{} ({})", group.format, name(run_.scores[*estimate].method)));
  }
  return question;
}

}  // namespace

int64_t weights_of(const scores::Run& run) {
  int64_t weights = 0;
  for (const scores::OpRecord& op : run.ops) weights += op.cache ? 0 : op.in_features * op.out_features;
  return weights;
}

int64_t stored_bits(const scores::OpRecord& op, const quant::Format* format) {
  if (op.cache) return 0;
  const auto row_bits = format == nullptr
                            ? kFloatBits * op.in_features
                            : std::llround(quant::effective_weight_bits(*format, op.in_features) *
                                           static_cast<double>(op.in_features));
  return row_bits * op.out_features;
}

Question ask(const scores::Run& run, const Wishes& wishes,
             const std::optional<scores::Interactions>& interactions) {
  return Asking(run, wishes).ask(interactions);
}

std::map<std::string, std::string> formats_of(const scores::Run& run, const Problem& problem,
                                              const Selection& selection) {
  std::map<std::string, std::string> formats;
  for (size_t d = 0; d < problem.size(); ++d) {
    const Decision& decision = problem.decisions()[d];
    const quant::Format* format = decision.choices[static_cast<size_t>(selection[d])].format;
    for (const size_t op : decision.ops)
      if (format != nullptr) formats[run.ops[op].name] = format->name;
  }
  return formats;
}

}  // namespace qsweep::choose
