#include "report/explain.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/stats.h"
#include "quant/format.h"
#include "report/text.h"

namespace qsweep::report {
namespace {

using scores::Run;
using scores::ScoreRecord;

// A figure stands out at twice the median op's.
constexpr double kNotable = 2;
// Below this, the largest value is no outlier: a normal distribution reaches 5 rms in a few million values.
constexpr double kOutlier = 8;
// The upper end of an interval over its lower end beyond which the size of the effect is open.
constexpr double kWideInterval = 4;

double median_or_nan(const std::vector<double>& values) {
  return values.empty() ? std::numeric_limits<double>::quiet_NaN() : median(values);
}

double cost(const Run& run, const ScoreRecord& score) {
  return score.per_position(run.ranking_metric) / std::pow(score.local->relative_error(), 2);
}

// Scores may come from a version that knows more formats; of those it is not known, and most do.
bool quantizes_activations(const std::string& format) {
  const auto formats = quant::all_formats();
  const auto row = std::ranges::find(formats, format, &quant::Format::name);
  return row == formats.end() || quant::quantizes_activations(*row);
}

std::string local_error_sentence(const scores::LocalStats& local, const TypicalOp& typical) {
  const double error = local.relative_error();
  const std::string stated =
      fmt::format("{} (median op: {})", percent(error), percent(typical.relative_error));
  if (error >= kNotable * typical.relative_error)
    return "Its own output is off by " + stated + ": the format fits it worse than most.";
  if (error <= typical.relative_error) return "Its own output is off by no more than usual, " + stated + ".";
  return "Its own output is off by " + stated + ".";
}

std::string range_sentence(const scores::LocalStats& local, const TypicalOp& typical) {
  return fmt::format(
      "The largest input is {} times the input's rms (median op: {}): a few values set the range, and "
      "whatever shares their scale gets coarse steps.",
      number(local.outlier_ratio()), number(typical.outlier_ratio));
}

std::string cost_sentence(double op_cost, const TypicalOp& typical) {
  return fmt::format(
      "An error here weighs more than elsewhere: per squared relative error it costs {} times what it costs "
      "at the median op, so this is a sensitive place.",
      number(op_cost / typical.cost));
}

}  // namespace

TypicalOp typical_op(const Run& run, const scores::ScoreGroup& group) {
  std::vector<double> errors, outliers, costs;
  const auto keep = [](std::vector<double>& values, double value) {
    if (std::isfinite(value)) values.push_back(value);
  };
  for (size_t i : group.members) {
    const ScoreRecord& score = run.scores[i];
    if (!score.total || !score.local) continue;
    keep(errors, score.local->relative_error());
    keep(outliers, score.local->outlier_ratio());
    keep(costs, cost(run, score));
  }
  return {median_or_nan(errors), median_or_nan(outliers), median_or_nan(costs)};
}

std::string explain(const Run& run, const ScoreRecord& score, const TypicalOp& typical) {
  if (!score.local) {
    if (score.spread_from)
      return "Not measured itself: its score is that of " + code(*score.spread_from) + ".";
    return "No statistics at the op.";
  }
  std::vector<std::string> sentences{local_error_sentence(*score.local, typical)};
  const double outlier_ratio = score.local->outlier_ratio();
  if (quantizes_activations(score.format) && outlier_ratio >= kOutlier &&
      outlier_ratio >= kNotable * typical.outlier_ratio)
    sentences.push_back(range_sentence(*score.local, typical));
  const double op_cost = cost(run, score);
  if (op_cost >= kNotable * typical.cost && std::isfinite(op_cost))
    sentences.push_back(cost_sentence(op_cost, typical));
  if (sentences.size() == 1 && score.local->relative_error() < kNotable * typical.relative_error)
    sentences.push_back("Nothing measured at the op stands out.");
  const auto& interval = score.intervals.of(run.ranking_metric);
  if (interval && interval->high > kWideInterval * interval->low)
    sentences.push_back(fmt::format("Its interval spans a factor of {}: more samples would place it better.",
                                    number(interval->high / interval->low)));
  return fmt::format("{}", fmt::join(sentences, " "));
}

}  // namespace qsweep::report
