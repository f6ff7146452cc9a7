#include "choose/difference.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/error.h"
#include "scores/joint.h"

namespace qsweep::choose {
namespace {

using scores::Interactions;

// The scores of one recipe: per op an index into Run::scores; none for float ops and for unscored ones.
using ScorePerOp = std::vector<std::optional<size_t>>;

// Without measured groups, whose errors no op has a share of.
scores::JointModel of_single_ops(scores::Run run, scores::Metric metric) {
  run.groups.clear();
  return scores::JointModel::from_run(run, metric);
}

class Comparing {
 public:
  Comparing(const scores::Run& run, scores::Metric metric, const std::optional<Interactions>& interactions)
      : run_(run),
        metric_(metric),
        interactions_(interactions ? &*interactions : nullptr),
        joint_(of_single_ops(run, metric)) {
    for (const scores::ScoreGroup& group : scores::isolated_groups(run, metric))
      for (const size_t i : group.members)
        if (run.scores[i].has(metric)) score_of_[{run.scores[i].op, group.format}] = i;
  }

  Difference difference(const FormatPerOp& a, const FormatPerOp& b);

 private:
  ScorePerOp scores_of(const FormatPerOp& formats) const;
  Side side(const FormatPerOp& formats, const ScorePerOp& scores) const;
  std::optional<Predictor> predictor() const;
  double positions() const { return static_cast<double>(result_.positions); }

  double error(std::optional<size_t> score) const { return score ? run_.scores[*score].sum(metric_) : 0; }
  double pair(std::optional<size_t> i, std::optional<size_t> j) const {
    return i && j ? interactions_->between(*i, *j) : 0;
  }
  double growth(std::optional<size_t> score) const;  // g of joint.h's formula
  double sum(const ScorePerOp& scores) const;
  double sum_of_growth(const ScorePerOp& scores) const;
  double predicted(const ScorePerOp& scores) const;
  // Of an op whose formats have scores, as a sum over positions.
  double share(size_t op) const;

  std::vector<std::vector<size_t>> changing(const FormatPerOp& a, const FormatPerOp& b) const;
  Change change(const std::vector<size_t>& ops, const FormatPerOp& a, const FormatPerOp& b) const;

  const scores::Run& run_;
  scores::Metric metric_;
  const Interactions* interactions_;  // null where nothing is known of pairs
  scores::JointModel joint_;
  std::map<std::pair<int, std::string>, size_t> score_of_;
  ScorePerOp a_, b_;
  Difference result_;
};

ScorePerOp Comparing::scores_of(const FormatPerOp& formats) const {
  ScorePerOp scores(formats.size());
  for (size_t op = 0; op < formats.size(); ++op) {
    if (formats[op] == nullptr) continue;
    const auto found = score_of_.find({static_cast<int>(op), std::string(formats[op]->name)});
    if (found != score_of_.end()) scores[op] = found->second;
  }
  return scores;
}

// The best that is known of all scores of both.
std::optional<Predictor> Comparing::predictor() const {
  if (score_of_.empty()) return std::nullopt;
  const auto of_all = [&](auto is_known) {
    const auto holds = [&](const std::optional<size_t>& score) { return !score || is_known(*score); };
    return std::ranges::all_of(a_, holds) && std::ranges::all_of(b_, holds);
  };
  if (interactions_ != nullptr && of_all([&](size_t score) { return interactions_->has(score); }))
    return Predictor::pairs;
  const auto has_kappa = [&](size_t score) {
    return joint_.formats().at(run_.scores[score].format).kappa.has_value();
  };
  return of_all(has_kappa) ? Predictor::kappa : Predictor::sum;
}

double Comparing::growth(std::optional<size_t> score) const {
  if (!score || result_.predictor != Predictor::kappa) return 0;
  const scores::JointFormat& joint = joint_.formats().at(run_.scores[*score].format);
  return (*joint.kappa - 1) * error(score) / joint.sum_all;
}

double Comparing::sum(const ScorePerOp& scores) const {
  return std::accumulate(scores.begin(), scores.end(), 0.0,
                         [&](double all, const auto& score) { return all + error(score); });
}

double Comparing::sum_of_growth(const ScorePerOp& scores) const {
  return std::accumulate(scores.begin(), scores.end(), 0.0,
                         [&](double all, const auto& score) { return all + growth(score); });
}

double Comparing::predicted(const ScorePerOp& scores) const {
  if (result_.predictor != Predictor::pairs) return sum(scores) * (1 + sum_of_growth(scores));
  std::vector<size_t> chosen;
  for (const auto& score : scores)
    if (score) chosen.push_back(*score);
  return interactions_->predicted(run_, chosen, metric_);
}

double Comparing::share(size_t op) const {
  const double alone = error(b_[op]) - error(a_[op]);
  if (result_.predictor != Predictor::pairs)
    return alone * (1 + (sum_of_growth(a_) + sum_of_growth(b_)) / 2) +
           (growth(b_[op]) - growth(a_[op])) * (sum(a_) + sum(b_)) / 2;
  double aligned = 0;
  for (size_t other = 0; other < a_.size(); ++other)
    if (other != op)
      aligned += pair(b_[op], a_[other]) + pair(b_[op], b_[other]) - pair(a_[op], a_[other]) -
                 pair(a_[op], b_[other]);
  return alone + aligned;
}

Side Comparing::side(const FormatPerOp& formats, const ScorePerOp& scores) const {
  Side side;
  for (size_t op = 0; op < formats.size(); ++op) {
    side.stored_bits += stored_bits(run_.ops[op], formats[op]);
    if (formats[op] != nullptr && !scores[op]) side.unscored.push_back(run_.ops[op].name);
  }
  side.effective_bits = static_cast<double>(side.stored_bits) / static_cast<double>(weights_of(run_));
  if (run_.model.other_bytes)
    side.checkpoint_bytes = static_cast<int64_t>(checkpoint_bytes(run_, side.stored_bits));
  if (!result_.predictor) return side;
  side.predicted = predicted(scores) / positions();
  side.plain_sum = sum(scores) / positions();
  return side;
}

// Ops that change, in their order; those of a fusion group together where all of it changes alike.
std::vector<std::vector<size_t>> Comparing::changing(const FormatPerOp& a, const FormatPerOp& b) const {
  const auto group_of = [&](size_t op) { return run_.ops[op].fusion_group; };
  std::map<std::string, std::vector<size_t>> groups;
  for (size_t op = 0; op < a.size(); ++op)
    if (group_of(op)) groups[*group_of(op)].push_back(op);
  const auto changes_alike = [&](const std::vector<size_t>& ops) {
    return std::ranges::all_of(ops,
                               [&](size_t op) { return a[op] == a[ops.front()] && b[op] == b[ops.front()]; });
  };
  std::vector<std::vector<size_t>> units;
  for (size_t op = 0; op < a.size(); ++op) {
    if (a[op] == b[op]) continue;
    if (!group_of(op) || !changes_alike(groups.at(*group_of(op))))
      units.push_back({op});
    else if (groups.at(*group_of(op)).front() == op)
      units.push_back(groups.at(*group_of(op)));
  }
  return units;
}

Change Comparing::change(const std::vector<size_t>& ops, const FormatPerOp& a, const FormatPerOp& b) const {
  const scores::OpRecord& first = run_.ops[ops.front()];
  Change change{.name = ops.size() > 1 ? *first.fusion_group : first.name,
                .ops = ops,
                .from = a[ops.front()],
                .to = b[ops.front()]};
  bool known = result_.predictor.has_value();
  for (const size_t op : ops) {
    change.stored_bits += stored_bits(run_.ops[op], b[op]) - stored_bits(run_.ops[op], a[op]);
    known = known && (a[op] == nullptr || a_[op]) && (b[op] == nullptr || b_[op]);
  }
  if (!known) return change;
  change.error = 0;
  for (const size_t op : ops) *change.error += share(op) / positions();
  return change;
}

Difference Comparing::difference(const FormatPerOp& a, const FormatPerOp& b) {
  a_ = scores_of(a);
  b_ = scores_of(b);
  result_ = {.metric = metric_, .predictor = predictor()};
  for (const auto& [key, score] : score_of_)
    result_.positions = count(run_.scores[score].total->of(metric_.scope), metric_.which);
  if (result_.predictor && result_.positions == 0)
    fail("{}: expected data with positions of this scope, found none", name(metric_));
  result_.a = side(a, a_);
  result_.b = side(b, b_);
  for (size_t op = 0; op < a.size(); ++op) result_.same += a[op] == b[op] ? 1 : 0;
  for (const std::vector<size_t>& ops : changing(a, b)) result_.changes.push_back(change(ops, a, b));
  const auto is_known = [](const Change& change) { return change.error.has_value(); };
  if (result_.predictor && std::ranges::all_of(result_.changes, is_known))
    result_.error = *result_.b.predicted - *result_.a.predicted;
  return result_;
}

}  // namespace

Difference difference(const scores::Run& run, const FormatPerOp& a, const FormatPerOp& b,
                      scores::Metric metric, const std::optional<Interactions>& interactions) {
  QSWEEP_CHECK(a.size() == run.ops.size() && b.size() == a.size(), "{} and {} formats for {} ops", a.size(),
               b.size(), run.ops.size());
  return Comparing(run, metric, interactions).difference(a, b);
}

}  // namespace qsweep::choose
