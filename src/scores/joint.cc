#include "scores/joint.h"

#include <algorithm>
#include <set>

#include "scores/grouping.h"

namespace qsweep::scores {
namespace {

// The group whose scores a format's errors are taken from; null where none measured the metric.
const ScoreGroup* best_group(const Run& run, const std::vector<ScoreGroup>& groups, const std::string& format,
                             Metric metric) {
  const ScoreGroup* best = nullptr;
  for (const ScoreGroup& group : groups) {
    if (group.format != format || group.mode != Mode::isolated) continue;
    const bool measured = std::any_of(group.members.begin(), group.members.end(),
                                      [&](size_t i) { return run.scores[i].has(metric); });
    if (measured && (!best || group.method < best->method)) best = &group;
  }
  return best;
}

// How many ops can have the format of these scores: all linear ones, or all caches.
size_t ops_of_kind(const Run& run, const ScoreGroup& group) {
  const auto is_cache = [&](int op) { return run.ops[static_cast<size_t>(op)].cache.has_value(); };
  const bool caches = is_cache(run.scores[group.members.front()].op);
  return static_cast<size_t>(
      std::ranges::count_if(run.ops, [&](const OpRecord& op) { return op.cache.has_value() == caches; }));
}

// True where all:FORMAT quantizes the op with an effect that no score tells.
bool hidden_in_baseline(const ScoreRecord& score, const std::string& op, const Baseline& baseline) {
  if (score.status == Status::unexercised || score.status == Status::uncalibrated) return false;
  const auto& floats = baseline.float_ops;
  return std::find(floats.begin(), floats.end(), op) == floats.end();
}

// Groups are measured as exact scores are, and stand beside no others.
void add_groups(const Run& run, const ScoreGroup& scores, Metric metric, JointFormat& joint) {
  if (scores.method != Method::exact) return;
  for (const GroupScore& group : run.groups) {
    if (group.format != scores.format || !group.has(metric)) continue;
    joint.groups.push_back(op_names(run, group));
    joint.group_errors.push_back(group.sum(metric));
  }
}

JointFormat joint_format(const Run& run, const ScoreGroup& group, Metric metric) {
  JointFormat joint;
  const Baseline* baseline = find_baseline(run.baselines, group.format);
  std::set<int> scored;
  bool comparable = baseline != nullptr && baseline->has(metric);
  for (size_t i : group.members) {
    const ScoreRecord& score = run.scores[i];
    const std::string& op = run.ops[score.op].name;
    scored.insert(score.op);
    if (score.has(metric)) {
      joint.errors[op] = score.sum(metric);
    } else {
      joint.unscored.push_back(op);
      comparable = comparable && !hidden_in_baseline(score, op, *baseline);
    }
  }
  std::set<std::string> all;
  for (const auto& [op, error] : joint.errors) all.insert(op);
  add_groups(run, group, metric, joint);
  joint.sum_all = joint.sum(std::move(all));
  if (baseline && baseline->has(metric)) joint.measured_all = baseline->sum(metric);
  comparable = comparable && scored.size() == ops_of_kind(run, group) && joint.sum_all > 0;
  if (comparable) joint.kappa = *joint.measured_all / joint.sum_all;
  return joint;
}

}  // namespace

std::vector<ScoreGroup> isolated_groups(const Run& run, Metric metric) {
  const std::vector<ScoreGroup> groups = group_scores(run);
  std::vector<ScoreGroup> best;
  for (const ScoreGroup& group : groups)
    if (best_group(run, groups, group.format, metric) == &group) best.push_back(group);
  return best;
}

double JointFormat::sum(std::set<std::string> ops) const {
  double sum = 0;
  for (const size_t group : take_groups(groups, ops)) sum += group_errors[group];
  for (const std::string& op : ops) sum += errors.at(op);
  return sum;
}

JointModel JointModel::from_run(const Run& run, Metric metric) {
  JointModel model;
  model.metric_ = metric;
  for (const ScoreGroup& group : isolated_groups(run, metric)) {
    model.formats_[group.format] = joint_format(run, group, metric);
    for (size_t i : group.members)
      if (const auto& total = run.scores[i].total)
        model.positions_ = count(total->of(metric.scope), metric.which);
  }
  return model;
}

Prediction JointModel::predict(const std::map<std::string, std::string>& formats) const {
  Prediction prediction{
      .metric = metric_, .plain_sum = 0, .corrected = {}, .positions = positions_, .missing = {}};
  std::map<std::string, std::set<std::string>> ops;
  for (const auto& [op, format] : formats) {
    const auto joint = formats_.find(format);
    if (joint == formats_.end() || !joint->second.errors.contains(op)) {
      prediction.missing.emplace_back(op, format);
      continue;
    }
    ops[format].insert(op);
  }
  double growth = 1;
  bool known = true;
  for (const auto& [format, of_format] : ops) {
    const JointFormat& joint = formats_.at(format);
    const double sum = joint.sum(of_format);
    prediction.plain_sum += sum;
    if (sum == 0) continue;
    known = known && joint.kappa.has_value();
    if (known) growth += (*joint.kappa - 1) * sum / joint.sum_all;
  }
  if (known) prediction.corrected = prediction.plain_sum * growth;
  return prediction;
}

namespace {

// Of the groups that have inner products those that the ops hold, as indexes; takes their ops out.
std::vector<size_t> measured_groups(const Run& run, const MetricInteractions& pairs,
                                    const std::string& format, std::set<std::string>& ops) {
  std::vector<std::vector<std::string>> groups(run.groups.size());  // empty ones are not taken
  for (size_t i = 0; i < groups.size(); ++i)
    if (run.groups[i].format == format && run.groups[i].has(pairs.metric) &&
        pairs.interactions.has(part_of_group(run, i)))
      groups[i] = op_names(run, run.groups[i]);
  return take_groups(groups, ops);
}

std::optional<double> predict_with_pairs(const Run& run, const std::map<std::string, std::string>& formats,
                                         const MetricInteractions& pairs) {
  std::map<std::string, std::set<std::string>> left;  // ops by format
  for (const auto& [op, format] : formats) left[format].insert(op);
  std::vector<size_t> chosen;
  for (auto& [format, ops] : left)
    for (const size_t group : measured_groups(run, pairs, format, ops))
      chosen.push_back(part_of_group(run, group));
  for (const size_t i : pairs.interactions.scores()) {
    if (i >= run.scores.size()) break;
    const ScoreRecord& score = run.scores[i];
    const auto ops = left.find(score.format);
    if (ops == left.end() || !score.has(pairs.metric)) continue;
    if (ops->second.erase(run.ops[static_cast<size_t>(score.op)].name) > 0) chosen.push_back(i);
  }
  if (std::ranges::any_of(left, [](const auto& ops) { return !ops.second.empty(); })) return std::nullopt;
  return pairs.interactions.predicted(run, chosen, pairs.metric);
}

}  // namespace

std::vector<Prediction> predict_all(const Run& run, const std::map<std::string, std::string>& formats,
                                    std::span<const MetricInteractions> pairs) {
  std::vector<Prediction> predictions;
  for (const Metric metric : kRankingMetrics) {
    const JointModel model = JointModel::from_run(run, metric);
    if (model.formats().empty()) continue;
    Prediction prediction = model.predict(formats);
    for (const MetricInteractions& of_metric : pairs)
      if (of_metric.metric == metric) prediction.with_pairs = predict_with_pairs(run, formats, of_metric);
    if (prediction.positions > 0) predictions.push_back(std::move(prediction));
  }
  return predictions;
}

}  // namespace qsweep::scores
