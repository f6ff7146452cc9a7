#include "compare/run.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>

#include "scores/schema.h"

namespace qsweep::compare {
namespace {

using scores::Metric;
using scores::Mode;
using scores::Run;
using scores::ScoreGroup;
using scores::ScoreRecord;

std::string describe(const ScoreGroup& group) {
  return fmt::format("{}, {}, {}", group.format, name(group.mode), name(group.method));
}

std::string describe(const std::vector<ScoreGroup>& groups) {
  std::vector<std::string> texts;
  for (const ScoreGroup& group : groups) texts.push_back(describe(group));
  return fmt::format("{}", fmt::join(texts, "; "));
}

// Keeps the groups that fit, if there is any.
void prefer(std::vector<ScoreGroup>& groups, const std::function<bool(const ScoreGroup&)>& fits) {
  if (std::any_of(groups.begin(), groups.end(), fits))
    std::erase_if(groups, [&](const ScoreGroup& group) { return !fits(group); });
}

bool has_estimate(const Run& run, const ScoreGroup& group, const std::string& estimate) {
  return std::any_of(group.members.begin(), group.members.end(),
                     [&](size_t i) { return run.scores[i].estimate(estimate).has_value(); });
}

// Turns remaining errors into what each op takes off the whole, or says that they stay as they are.
void orient_leave_one_out(const Run& run, const ScoreGroup& group, Metric metric, Ranking& ranking) {
  const scores::Baseline* everything = find_baseline(run.baselines, group.format);
  if (everything == nullptr || !everything->has(metric)) {
    ranking.smallest_first = true;
    ranking.notes.push_back("leave-one-out: the smallest remaining error is the most sensitive op");
    return;
  }
  for (Entry& entry : ranking.entries) entry.score = everything->sum(metric) - entry.score;
  ranking.notes.push_back(
      fmt::format("leave-one-out: the score is what the op's return to float takes off the error of all:{}",
                  group.format));
}

}  // namespace

std::string scores_file(const std::string& path) {
  return std::filesystem::is_directory(path) ? path + "/scores.json" : path;
}

Run read_run(const std::string& path) {
  return scores::from_json(io::read_json_file(scores_file(path)), scores_file(path));
}

std::optional<scores::Sketches> sketches_of(const Run& run, const std::string& path, scores::Which which) {
  const std::string folder = std::filesystem::absolute(scores_file(path)).parent_path().string();
  std::optional<scores::Sketches> sketches = scores::read_sketches(run, folder);
  if (sketches && sketches->which() != which) sketches.reset();
  return sketches;
}

std::optional<scores::Interactions> interactions_of(const Run& run, const std::string& path, Metric metric,
                                                    Threads threads) {
  const std::optional<scores::Sketches> sketches = sketches_of(run, path, metric.which);
  if (!sketches) return std::nullopt;
  return sketches->interactions(metric.scope, threads);
}

std::vector<ScoreGroup> fitting_groups(const Run& run, const std::string& source, const Choice& choice) {
  const std::vector<ScoreGroup> all = group_scores(run);
  std::vector<ScoreGroup> fitting = all;
  std::erase_if(fitting, [&](const ScoreGroup& group) {
    return (choice.format && group.format != *choice.format) || (choice.mode && group.mode != *choice.mode) ||
           (choice.method && group.method != *choice.method);
  });
  if (fitting.empty())
    fail("{}: expected scores of the chosen format, mode and method, found {}", source,
         all.empty() ? "no scores" : describe(all));
  return fitting;
}

ScoreGroup choose_group(const Run& run, const std::string& source, const Choice& choice,
                        const ScoreGroup* like) {
  std::vector<ScoreGroup> fitting = fitting_groups(run, source, choice);
  if (like) {
    prefer(fitting, [&](const ScoreGroup& group) { return group.format == like->format; });
    prefer(fitting, [&](const ScoreGroup& group) { return group.mode == like->mode; });
    prefer(fitting, [&](const ScoreGroup& group) { return group.method == like->method; });
  }
  if (fitting.size() > 1)
    fail(
        "{}: expected scores of one format, mode and method, found {}: choose with --{}format, --{}mode, "
        "--{}method",
        source, describe(fitting), like ? "other-" : "", like ? "other-" : "", like ? "other-" : "");
  return fitting.front();
}

Ranking ranking_of(const Run& run, const ScoreGroup& group, const std::string& source, Metric metric,
                   const std::string& estimate) {
  Ranking ranking;
  const bool local = group.method == scores::Method::local, estimated = has_estimate(run, group, estimate);
  const std::string value = estimated ? estimate : local ? "relative error at the op" : name(metric);
  ranking.source = source;
  ranking.what = describe(group) + ", " + value;
  ranking.format = group.format;
  ranking.mode = group.mode;
  ranking.model = run.model.weights_sha256_of_headers;
  ranking.data = run.data.sha256;
  for (size_t i : group.members) {
    const ScoreRecord& score = run.scores[i];
    const std::string& op = run.ops[score.op].name;
    const double found = estimated ? score.estimate(estimate).value_or(NAN) : ranking_value(score, metric);
    if (std::isfinite(found))
      ranking.entries.push_back({op, {op}, found});
    else
      ranking.unscored.emplace_back(
          op, carries_metrics(score.status) ? value + " not measured" : std::string(name(score.status)));
  }
  const auto spread = std::ranges::count_if(
      group.members, [&](size_t i) { return run.scores[i].status == scores::Status::spread; });
  if (spread > 0)
    ranking.notes.push_back(
        fmt::format("spread: {} of {} ops have the score of the op of the same role in another block", spread,
                    group.members.size()));
  if (ranking.entries.empty()) fail("{}: no op of {} has a score by {}", source, describe(group), value);
  if (group.mode == Mode::leave_one_out && !local) orient_leave_one_out(run, group, metric, ranking);
  return ranking;
}

}  // namespace qsweep::compare
