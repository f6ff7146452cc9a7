#include "scores/schema_parts.h"

#include <cmath>
#include <limits>

namespace qsweep::scores {
namespace {

using io::Json;
using io::ObjectReader;

// What the rounding of f64 sums can make of a value of 1.
constexpr double kRounding = 1e-9;

Json scope_json(const Measurement& m, Scope scope) {
  const MetricSums& sums = m.total->of(scope);
  Json json = Json::object();
  for (Which which : kAllWhich) {
    Json& value = json[std::string(name(which))];
    if (!m.measured.has({which, scope})) continue;
    value = which == Which::top1_flips ? Json(sums.top1_flips) : Json(sum(sums, which));
  }
  json["positions"] = sums.positions;
  json["targets"] = sums.targets;
  json["hidden_elements"] = sums.hidden_elements;
  json["logits_elements"] = sums.logits_elements;
  Json& ci95 = json["ci95"] = Json::object();
  for (Which which : kAllWhich)
    ci95[std::string(name(which))] = interval_json(m.intervals.of({which, scope}));
  return json;
}

// The interval of a metric's mean, which it must hold; none where the metric was not measured (NaN).
std::optional<Interval> read_interval(const ObjectReader& ci95, Which which, double mean) {
  const std::string key(name(which));
  if (is_null(ci95, key)) return std::nullopt;
  const std::vector<double> ends = ci95.numbers(key);
  if (ends.size() != 2 || !(ends[0] <= ends[1]))
    fail("{}: \"{}\": expected null or [low, high], found {}", ci95.path(), key, io::shortened(ci95.at(key)));
  const double rounding = kRounding * std::fabs(mean);
  if (!(ends[0] <= mean + rounding && mean - rounding <= ends[1]))
    fail("{}: \"{}\": expected {}, found {}", ci95.path(), key,
         std::isnan(mean) ? "null for a metric without a mean"
                          : fmt::format("an interval that holds the mean {}", mean),
         io::shortened(ci95.at(key)));
  return Interval{ends[0], ends[1]};
}

// A sum that is not negative, but for the rounding of its terms: one per position.
double sum_at(const ObjectReader& object, Which which, int64_t positions) {
  const std::string key(name(which));
  const double sum = object.number(key);
  const bool is_signed = which == Which::nll_delta;
  if (!std::isfinite(sum) || (!is_signed && sum < -kRounding * static_cast<double>(positions)))
    fail("{}: \"{}\": expected a {} sum, found {}", object.path(), key, is_signed ? "finite" : "non-negative",
         sum);
  return sum;
}

void read_scope(const ObjectReader& object, Scope scope, Measurement& m) {
  const int64_t positions = count_at(object, "positions");
  const auto number = [&](Which which) {
    const std::string key(name(which));
    if (!is_null(object, key)) return sum_at(object, which, positions);
    m.measured.remove({which, scope});
    return std::numeric_limits<double>::quiet_NaN();
  };
  MetricSums& sums = m.total->of(scope);
  sums = {.hidden_sse = number(Which::hidden_sse),
          .logits_sse = number(Which::logits_sse),
          .kl = number(Which::kl),
          .nll_delta = number(Which::nll_delta),
          .top1_flips = 0,
          .positions = positions,
          .targets = object.integer_in("targets", 0, positions),
          .hidden_elements = count_at(object, "hidden_elements"),
          .logits_elements = count_at(object, "logits_elements")};
  if (is_null(object, "top1_flips"))
    m.measured.remove({Which::top1_flips, scope});
  else
    sums.top1_flips = object.integer_in("top1_flips", 0, positions);
  const ObjectReader ci95 = object.object("ci95");
  for (Which which : kAllWhich)
    m.intervals.of({which, scope}) = read_interval(ci95, which, m.per_position({which, scope}));
}

}  // namespace

Json interval_json(const std::optional<Interval>& interval) {
  return interval ? Json::array({interval->low, interval->high}) : Json();
}

Json model_json(const ModelInfo& model) {
  return {{"path_name", model.path_name},
          {"family", model.family},
          {"parameters", model.parameters},
          {"weights_sha256_of_headers", model.weights_sha256_of_headers},
          {"tied_embeddings", or_null(model.tied_embeddings)},
          {"other_bytes", or_null(model.other_bytes)}};
}

Json data_json(const DataInfo& data) {
  return {{"file_name", data.file_name}, {"samples", data.samples},
          {"tokens", data.tokens},       {"answer_tokens", data.answer_tokens},
          {"images", data.images},       {"image_tokens", or_null(data.image_tokens)},
          {"sha256", data.sha256}};
}

Json metrics_json(const Measurement& m) {
  if (!m.total) return nullptr;
  Json json = Json::object();
  for (Scope scope : kAllScopes) json[std::string(name(scope))] = scope_json(m, scope);
  return json;
}

double non_negative_at(const ObjectReader& object, const std::string& key) {
  const double value = object.number(key);
  if (!std::isfinite(value) || value < 0)
    fail("{}: \"{}\": expected a number that is not negative, found {}", object.path(), key, value);
  return value;
}

int64_t count_at(const ObjectReader& object, const std::string& key) {
  return object.integer_in(key, 0, std::numeric_limits<int64_t>::max());
}

bool is_null(const ObjectReader& object, const std::string& key) {
  if (!object.json().contains(key)) fail("{}: missing key \"{}\"", object.path(), key);
  return !object.has(key);
}

std::vector<std::string> strings_at(const ObjectReader& object, const std::string& key) {
  std::vector<std::string> strings;
  const Json& json = object.at(key);
  bool valid = json.is_array();
  for (size_t i = 0; valid && i < json.size(); ++i) {
    valid = json[i].is_string();
    if (valid) strings.push_back(json[i].get<std::string>());
  }
  if (!valid)
    fail("{}: \"{}\": expected an array of strings, found {}", object.path(), key, io::shortened(json));
  return strings;
}

void require_schema(const ObjectReader& root, std::string_view schema) {
  const std::string found = root.string("schema");
  if (found != schema) fail("{}: \"schema\": expected \"{}\", found \"{}\"", root.path(), schema, found);
}

ModelInfo read_model(const ObjectReader& root) {
  const ObjectReader model = root.object("model");
  ModelInfo info{.path_name = model.string("path_name"),
                 .family = model.string("family"),
                 .parameters = count_at(model, "parameters"),
                 .weights_sha256_of_headers = model.string("weights_sha256_of_headers")};
  if (model.has("tied_embeddings")) info.tied_embeddings = model.boolean("tied_embeddings");
  if (model.has("other_bytes")) info.other_bytes = count_at(model, "other_bytes");
  return info;
}

DataInfo read_data(const ObjectReader& root) {
  const ObjectReader data = root.object("data");
  DataInfo info{.file_name = data.string("file_name"),
                .samples = count_at(data, "samples"),
                .tokens = count_at(data, "tokens"),
                .answer_tokens = data.integer_in("answer_tokens", 0, count_at(data, "tokens")),
                .images = count_at(data, "images"),
                .sha256 = data.string("sha256")};
  if (data.has("image_tokens")) info.image_tokens = data.integer_in("image_tokens", 0, info.tokens);
  return info;
}

void read_metrics(const ObjectReader& owner, Measurement& m) {
  if (is_null(owner, "metrics")) return;
  const ObjectReader metrics = owner.object("metrics");
  m.total.emplace();
  for (Scope scope : kAllScopes) read_scope(metrics.object(std::string(name(scope))), scope, m);
}

}  // namespace qsweep::scores
