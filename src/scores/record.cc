#include "scores/record.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"

namespace qsweep::scores {
namespace {

constexpr std::array<std::string_view, 6> kStatusNames{"ok",         "unexercised", "uncalibrated",
                                                       "non_finite", "skipped",     "spread"};
constexpr std::array<std::string_view, 4> kModeNames{"isolated", "leave-one-out", "requantize",
                                                     "requantize-cumulative"};
constexpr std::array<std::string_view, 7> kMethodNames{"exact", "adjoint",  "fisher", "hawq",
                                                       "local", "transfer", "auto"};

constexpr std::string_view kEverything = "all:";  // before the format, in a baseline's name

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

std::optional<int64_t> DataInfo::prompt_tokens() const {
  if (!image_tokens) return std::nullopt;
  return std::max<int64_t>(tokens - answer_tokens - *image_tokens, 0);
}

std::string format_of_baseline(std::string_view name) {
  return name.starts_with(kEverything) ? std::string(name.substr(kEverything.size())) : "";
}

const Baseline* find_baseline(const std::vector<Baseline>& baselines, std::string_view format) {
  for (const Baseline& baseline : baselines)
    if (!format.empty() && format_of_baseline(baseline.name) == format) return &baseline;
  return nullptr;
}

}  // namespace qsweep::scores
