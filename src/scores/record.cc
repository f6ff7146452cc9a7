#include "scores/record.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <tuple>

namespace qsweep::scores {
namespace {

constexpr std::array<std::string_view, 6> kStatusNames{"ok",         "unexercised", "uncalibrated",
                                                       "non_finite", "skipped",     "spread"};
constexpr std::array<std::string_view, 4> kModeNames{"isolated", "leave-one-out", "requantize",
                                                     "requantize-cumulative"};
constexpr std::array<std::string_view, 6> kMethodNames{"exact", "adjoint", "fisher", "hawq", "local", "auto"};

constexpr std::string_view kEverything = "all:";  // before the format, in a baseline's name
constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

size_t find_name(std::string_view text, std::span<const std::string_view> names, const char* what) {
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) fail("{}: expected one of {}, found \"{}\"", what, fmt::join(names, ", "), text);
  return static_cast<size_t>(found - names.begin());
}

}  // namespace

std::string_view name(Status status) { return kStatusNames[static_cast<size_t>(status)]; }
std::string_view name(Mode mode) { return kModeNames[static_cast<size_t>(mode)]; }
std::string_view name(Method method) { return kMethodNames[static_cast<size_t>(method)]; }

Status parse_status(std::string_view text) {
  return static_cast<Status>(find_name(text, kStatusNames, "status"));
}
Mode parse_mode(std::string_view text) { return static_cast<Mode>(find_name(text, kModeNames, "mode")); }
Method parse_method(std::string_view text) {
  return static_cast<Method>(find_name(text, kMethodNames, "method"));
}

void LocalStats::add(const LocalStats& other) {
  if (other.rows == 0) return;
  input_min = rows == 0 ? other.input_min : std::min(input_min, other.input_min);
  input_max = rows == 0 ? other.input_max : std::max(input_max, other.input_max);
  error_sse += other.error_sse;
  output_sse += other.output_sse;
  input_sum_squares += other.input_sum_squares;
  input_elements += other.input_elements;
  rows += other.rows;
}

bool LocalStats::finite() const {
  for (double value : {error_sse, output_sse, input_min, input_max, input_sum_squares})
    if (!std::isfinite(value)) return false;
  return true;
}

double LocalStats::relative_error() const {
  return output_sse > 0 ? std::sqrt(error_sse / output_sse) : kUndefined;
}

double LocalStats::sqnr_db() const {
  return output_sse > 0 ? 10 * std::log10(output_sse / error_sse) : kUndefined;
}

double LocalStats::input_absmax() const { return std::max(std::fabs(input_min), std::fabs(input_max)); }

double LocalStats::input_rms() const {
  return input_elements > 0 ? std::sqrt(input_sum_squares / static_cast<double>(input_elements)) : kUndefined;
}

double LocalStats::outlier_ratio() const {
  const double rms = input_rms();
  return rms > 0 ? input_absmax() / rms : kUndefined;
}

double ranking_value(const ScoreRecord& score, Metric metric) {
  if (score.method != Method::local) return score.sum(metric);
  return score.local ? score.local->relative_error() : kUndefined;
}

double Measurement::sum(Metric metric) const {
  return has(metric) ? scores::sum(total->of(metric.scope), metric.which) : kUndefined;
}

double Measurement::per_position(Metric metric) const {
  return has(metric) ? scores::per_position(total->of(metric.scope), metric.which) : kUndefined;
}

double Measurement::logits_mse(Scope scope) const {
  return has({Which::logits_sse, scope}) ? scores::logits_mse(total->of(scope)) : kUndefined;
}

double Measurement::perplexity_ratio(Scope scope) const {
  return has({Which::nll_delta, scope}) ? scores::perplexity_ratio(total->of(scope)) : kUndefined;
}

std::optional<double> ScoreRecord::estimate(std::string_view name) const {
  for (const auto& [key, value] : estimates)
    if (key == name) return value;
  return std::nullopt;
}

bool ScoreRecord::has_flag(std::string_view flag) const {
  return std::find(flags.begin(), flags.end(), flag) != flags.end();
}

double VerifiedScore::deviation() const {
  const double relative = score == strict ? 0 : score / strict - 1;
  return std::isfinite(relative) ? relative : kUndefined;
}

std::string format_of_baseline(std::string_view name) {
  return name.starts_with(kEverything) ? std::string(name.substr(kEverything.size())) : "";
}

const Baseline* find_baseline(const std::vector<Baseline>& baselines, std::string_view format) {
  for (const Baseline& baseline : baselines)
    if (!format.empty() && format_of_baseline(baseline.name) == format) return &baseline;
  return nullptr;
}

std::vector<ScoreGroup> group_scores(const Run& run) {
  std::vector<ScoreGroup> groups;
  std::map<std::tuple<std::string, Mode, Method>, size_t> place;
  for (size_t i = 0; i < run.scores.size(); ++i) {
    const ScoreRecord& score = run.scores[i];
    const Method method = run.joint_ranking ? Method::automatic : score.method;
    const auto [it, added] = place.try_emplace({score.format, score.mode, method}, groups.size());
    if (added) groups.push_back({score.format, score.mode, method, {}});
    groups[it->second].members.push_back(i);
  }
  for (ScoreGroup& group : groups)
    std::stable_sort(group.members.begin(), group.members.end(),
                     [&](size_t a, size_t b) { return run.scores[a].op < run.scores[b].op; });
  return groups;
}

}  // namespace qsweep::scores
