#include "scores/joint.h"

#include <algorithm>
#include <set>

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

// True where all:FORMAT quantizes the op with an effect that no score tells.
bool hidden_in_baseline(const ScoreRecord& score, const std::string& op, const Baseline& baseline) {
  if (score.status == Status::unexercised || score.status == Status::uncalibrated) return false;
  const auto& floats = baseline.float_ops;
  return std::find(floats.begin(), floats.end(), op) == floats.end();
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
      joint.sum_all += score.sum(metric);
    } else {
      joint.unscored.push_back(op);
      comparable = comparable && !hidden_in_baseline(score, op, *baseline);
    }
  }
  if (baseline && baseline->has(metric)) joint.measured_all = baseline->sum(metric);
  comparable = comparable && scored.size() == run.ops.size() && joint.sum_all > 0;
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
  std::map<std::string, double> sums;  // S_f
  for (const auto& [op, format] : formats) {
    const auto joint = formats_.find(format);
    if (joint == formats_.end() || !joint->second.errors.contains(op)) {
      prediction.missing.emplace_back(op, format);
      continue;
    }
    sums[format] += joint->second.errors.at(op);
  }
  double growth = 1;
  bool known = true;
  for (const auto& [format, sum] : sums) {
    prediction.plain_sum += sum;
    if (sum == 0) continue;
    const JointFormat& joint = formats_.at(format);
    known = known && joint.kappa.has_value();
    if (known) growth += (*joint.kappa - 1) * sum / joint.sum_all;
  }
  if (known) prediction.corrected = prediction.plain_sum * growth;
  return prediction;
}

namespace {

std::optional<double> predict_with_pairs(const Run& run, const std::map<std::string, std::string>& formats,
                                         const MetricInteractions& pairs) {
  std::vector<size_t> chosen;
  size_t missing = formats.size();
  for (const size_t i : pairs.interactions.scores()) {
    const ScoreRecord& score = run.scores[i];
    const auto format = formats.find(run.ops[static_cast<size_t>(score.op)].name);
    if (format == formats.end() || format->second != score.format || !score.has(pairs.metric)) continue;
    chosen.push_back(i);
    --missing;
  }
  if (missing > 0) return std::nullopt;
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
