#include "scores/schema.h"

namespace qsweep::scores {
namespace {

using io::Json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json metric_json(const ScopedSums& total, const ScopedIntervals& intervals, Scope scope) {
  const MetricSums& sums = total.of(scope);
  Json json = {{"hidden_sse", sums.hidden_sse},
               {"logits_sse", sums.logits_sse},
               {"kl", sums.kl},
               {"nll_delta", sums.nll_delta},
               {"top1_flips", sums.top1_flips},
               {"positions", sums.positions},
               {"targets", sums.targets},
               {"hidden_elements", sums.hidden_elements},
               {"logits_elements", sums.logits_elements}};
  Json& ci95 = json["ci95"] = Json::object();
  for (Which which : kAllWhich) {
    const auto& interval = intervals.of({which, scope});
    ci95[std::string(name(which))] = interval ? Json::array({interval->low, interval->high}) : Json();
  }
  return json;
}

Json metrics_json(const std::optional<ScopedSums>& total, const ScopedIntervals& intervals) {
  if (!total) return nullptr;
  return {{"all", metric_json(*total, intervals, Scope::all)},
          {"answer", metric_json(*total, intervals, Scope::answer)}};
}

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

Json op_json(const OpRecord& op) {
  return {{"name", op.name},
          {"tower", op.tower},
          {"block", or_null(op.block)},
          {"role", op.role},
          {"in_features", op.in_features},
          {"out_features", op.out_features},
          {"parameters", op.parameters},
          {"fusion_group", or_null(op.fusion_group)}};
}

Json score_json(const ScoreRecord& score) {
  Json json = {{"op", score.op},
               {"format", score.format},
               {"mode", name(score.mode)},
               {"method", name(score.method)},
               {"status", name(score.status)},
               {"flags", score.flags},
               {"metrics", metrics_json(score.total, score.intervals)},
               {"local", local_json(score.local)},
               {"effective_bits", score.effective_bits},
               {"rank", or_null(score.rank)}};
  if (score.status == Status::spread) json["spread_from"] = or_null(score.spread_from);
  return json;
}

Json reliability_json(const Reliability& r) {
  return {{"format", r.format},
          {"mode", name(r.mode)},
          {"method", name(r.method)},
          {"spearman", r.spearman},
          {"splits", r.splits}};
}

template <class Records, class Function>
Json array_of(const Records& records, Function to_record) {
  Json array = Json::array();
  for (const auto& record : records) array.push_back(to_record(record));
  return array;
}

// A file name need not be UTF-8, JSON must be.
std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

Json to_json(const Run& run) {
  return {
      {"schema", kSchema},
      {"model",
       {{"path_name", run.model.path_name},
        {"family", run.model.family},
        {"parameters", run.model.parameters},
        {"weights_sha256_of_headers", run.model.weights_sha256_of_headers}}},
      {"data",
       {{"file_name", run.data.file_name},
        {"samples", run.data.samples},
        {"tokens", run.data.tokens},
        {"answer_tokens", run.data.answer_tokens},
        {"images", run.data.images},
        {"sha256", run.data.sha256}}},
      {"settings", run.settings},
      {"provenance", run.provenance},
      {"ops", array_of(run.ops, op_json)},
      {"baselines", array_of(run.baselines,
                             [](const Baseline& b) {
                               return Json{{"name", b.name}, {"metrics", metrics_json(b.total, b.intervals)}};
                             })},
      {"reliability", array_of(run.reliability, reliability_json)},
      {"scores", array_of(run.scores, score_json)}};
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
