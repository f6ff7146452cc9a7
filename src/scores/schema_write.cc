#include <cmath>

#include "scores/schema.h"
#include "scores/schema_parts.h"

namespace qsweep::scores {
namespace {

using io::Json;

Json local_json(const std::optional<LocalStats>& local) {
  if (!local) return nullptr;
  return {{"error_sse", local->error_sse},
          {"output_sse", local->output_sse},
          {"input_min", local->input_min},
          {"input_max", local->input_max},
          {"input_sum_squares", local->input_sum_squares},
          {"input_elements", local->input_elements},
          {"rows", local->rows}};
}

Json estimates_json(const std::vector<std::pair<std::string, double>>& estimates) {
  if (estimates.empty()) return nullptr;
  Json json = Json::object();
  for (const auto& [key, value] : estimates) json[key] = value;
  return json;
}

Json op_json(const OpRecord& op) {
  Json json = {{"name", op.name},
               {"tower", op.tower},
               {"block", or_null(op.block)},
               {"role", op.role},
               {"in_features", op.in_features},
               {"out_features", op.out_features},
               {"parameters", op.parameters},
               {"fusion_group", or_null(op.fusion_group)}};
  if (op.cache) {
    json["kind"] = kCacheKind;
    json["heads"] = op.cache->heads;
    json["head_dim"] = op.cache->head_dim;
  }
  return json;
}

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json score_json(const Run& run, const ScoreRecord& score) {
  const OpRecord& op = run.ops[static_cast<size_t>(score.op)];
  const auto interval = ranking_interval(run, score);
  return {{"op", op.name},
          {"tower", op.tower},
          {"block", or_null(op.block)},
          {"role", op.role},
          {"format", score.format},
          {"mode", name(score.mode)},
          {"method", name(score.method)},
          {"status", name(score.status)},
          {"flags", score.flags},
          {"rank", or_null(score.rank)},
          {"ranked_by", ranked_by(run, score)},
          {"value", finite_or_null(mean_value(run, score))},
          {"ci95_low", interval ? Json(interval->low) : Json()},
          {"ci95_high", interval ? Json(interval->high) : Json()},
          {"effective_bits", score.effective_bits},
          {"spread_from", score.status == Status::spread ? or_null(score.spread_from) : Json()},
          {"metrics", metrics_json(score)},
          {"local", local_json(score.local)},
          {"estimates", estimates_json(score.estimates)}};
}

Json reliability_json(const Reliability& r) {
  Json by_scope = Json::object();
  for (size_t i = 0; i < kAllScopes.size(); ++i)
    by_scope[std::string(name(kAllScopes[i]))] = or_null(r.by_scope[i]);
  return {{"format", r.format},     {"mode", name(r.mode)}, {"method", name(r.method)},
          {"spearman", r.spearman}, {"splits", r.splits},   {"by_scope", by_scope}};
}

Json verified_json(const Run& run, const VerifiedScore& v) {
  return {{"op", run.ops[static_cast<size_t>(v.op)].name},
          {"format", v.format},
          {"mode", name(v.mode)},
          {"method", name(v.method)},
          {"chosen", v.top ? kChosenTop : kChosenRandom},
          {"metric", name(v.metric)},
          {"score", finite_or_null(v.score)},
          {"strict", finite_or_null(v.strict)},
          {"deviation", finite_or_null(v.deviation())}};
}

Json baseline_json(const Baseline& baseline) {
  return {{"name", baseline.name},
          {"format", baseline.format.empty() ? Json() : Json(baseline.format)},
          {"float_ops", baseline.float_ops},
          {kFlippedRows, baseline.flipped_rows ? Json(*baseline.flipped_rows) : Json()},
          {"metrics", metrics_json(baseline)}};
}

Json group_json(const Run& run, const GroupScore& group) {
  const Metric metric = run.ranking_metric;
  const auto interval = group.intervals.of(metric);
  const double value = group.per_position(metric), sum = sum_of_ops(run, group, metric);
  const double positions =
      group.total ? static_cast<double>(count(group.total->of(metric.scope), metric.which)) : NAN;
  return {{"group", group.name},
          {"ops", op_names(run, group)},
          {"format", group.format},
          {"status", name(group.status)},
          {"ranked_by", name(metric)},
          {"value", finite_or_null(value)},
          {"ci95_low", interval ? Json(interval->low) : Json()},
          {"ci95_high", interval ? Json(interval->high) : Json()},
          {"sum_of_ops", finite_or_null(sum / positions)},
          {"effective_bits", group.effective_bits},
          {"metrics", metrics_json(group)}};
}

// A file name need not be UTF-8, JSON must be.
std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

Json to_json(const Run& run) {
  return {{"schema", kSchema},
          {"model", model_json(run.model)},
          {"data", data_json(run.data)},
          {"settings", run.settings},
          {"provenance", run.provenance},
          {"ops", array_of(run.ops, op_json)},
          {"baselines", array_of(run.baselines, baseline_json)},
          {"reliability", array_of(run.reliability, reliability_json)},
          {"verification", array_of(run.verification, [&](const auto& v) { return verified_json(run, v); })},
          {"groups", array_of(run.groups, [&](const auto& group) { return group_json(run, group); })},
          {"scores", array_of(run.scores, [&](const auto& score) { return score_json(run, score); })}};
}

std::string to_text(const Json& root) {
  std::string text = "{";
  const char* separator = "\n";
  for (const auto& [key, value] : root.items()) {
    text += separator + dump(key) + ": ";
    separator = ",\n";
    if (!value.is_array() || value.empty()) {
      text += dump(value);
      continue;
    }
    const char* item_separator = "[\n";
    for (const Json& item : value) {
      text += item_separator + dump(item);
      item_separator = ",\n";
    }
    text += "\n]";
  }
  return text + "\n}\n";
}

}  // namespace qsweep::scores
