#include <cmath>
#include <limits>
#include <unordered_set>

#include "scores/schema.h"

namespace qsweep::scores {
namespace {

using io::Json;
using io::ObjectReader;

constexpr int64_t kMaxCount = std::numeric_limits<int64_t>::max();

int64_t count_at(const ObjectReader& object, const std::string& key) {
  return object.integer_in(key, 0, kMaxCount);
}

// Runs `parse` on the string at `key`; its Error gains the place.
template <class Parse>
auto named(const ObjectReader& object, const std::string& key, Parse parse) {
  const std::string text = object.string(key);
  return with_context(object.path(), [&] { return parse(text); });
}

// The key must be there; null means none.
bool is_null(const ObjectReader& object, const std::string& key) {
  if (!object.json().contains(key)) fail("{}: missing key \"{}\"", object.path(), key);
  return !object.has(key);
}

// Calls read(ObjectReader) for each object of the array at `key`.
template <class Read>
void each(const ObjectReader& root, const std::string& key, Read read) {
  const Json& array = root.at(key);
  if (!array.is_array()) fail("{}: \"{}\": expected an array, found {}", root.path(), key, array.type_name());
  for (size_t i = 0; i < array.size(); ++i)
    read(ObjectReader(array[i], fmt::format("{}: {}[{}]", root.path(), key, i)));
}

std::optional<Interval> read_interval(const ObjectReader& ci95, Which which) {
  const std::string key(name(which));
  if (is_null(ci95, key)) return std::nullopt;
  const std::vector<double> ends = ci95.numbers(key);
  if (ends.size() != 2 || !(ends[0] <= ends[1]))
    fail("{}: \"{}\": expected null or [low, high], found {}", ci95.path(), key, ci95.at(key).dump());
  return Interval{ends[0], ends[1]};
}

void read_metrics(const ObjectReader& owner, std::optional<ScopedSums>& total, ScopedIntervals& intervals) {
  if (is_null(owner, "metrics")) return;
  const ObjectReader metrics = owner.object("metrics");
  total.emplace();
  for (Scope scope : kAllScopes) {
    const ObjectReader object = metrics.object(std::string(name(scope)));
    const int64_t positions = count_at(object, "positions");
    total->of(scope) = {.hidden_sse = object.number("hidden_sse"),
                        .logits_sse = object.number("logits_sse"),
                        .kl = object.number("kl"),
                        .nll_delta = object.number("nll_delta"),
                        .top1_flips = object.integer_in("top1_flips", 0, positions),
                        .positions = positions,
                        .targets = object.integer_in("targets", 0, positions),
                        .hidden_elements = count_at(object, "hidden_elements"),
                        .logits_elements = count_at(object, "logits_elements")};
    const ObjectReader ci95 = object.object("ci95");
    for (Which which : kAllWhich) intervals.of({which, scope}) = read_interval(ci95, which);
  }
}

std::optional<LocalStats> read_local(const ObjectReader& score) {
  if (is_null(score, "local")) return std::nullopt;
  const ObjectReader local = score.object("local");
  return LocalStats{.error_sse = local.number("error_sse"),
                    .output_sse = local.number("output_sse"),
                    .input_min = local.number("input_min"),
                    .input_max = local.number("input_max"),
                    .input_sum_squares = local.number("input_sum_squares"),
                    .input_elements = count_at(local, "input_elements"),
                    .rows = count_at(local, "rows")};
}

OpRecord read_op(const ObjectReader& object) {
  OpRecord op{.name = object.string("name"),
              .tower = object.string("tower"),
              .block = {},
              .role = object.string("role"),
              .in_features = count_at(object, "in_features"),
              .out_features = count_at(object, "out_features"),
              .parameters = count_at(object, "parameters"),
              .fusion_group = {}};
  if (!is_null(object, "block")) op.block = count_at(object, "block");
  if (!is_null(object, "fusion_group")) op.fusion_group = object.string("fusion_group");
  return op;
}

void read_ops(const ObjectReader& root, Run& run) {
  std::unordered_set<std::string> names;
  each(root, "ops", [&](const ObjectReader& object) {
    run.ops.push_back(read_op(object));
    if (!names.insert(run.ops.back().name).second)
      fail("{}: \"name\": \"{}\" is there twice", object.path(), run.ops.back().name);
  });
}

std::vector<std::string> read_flags(const ObjectReader& score) {
  std::vector<std::string> flags;
  const Json& json = score.at("flags");
  bool valid = json.is_array();
  for (size_t i = 0; valid && i < json.size(); ++i) {
    valid = json[i].is_string();
    if (valid) flags.push_back(json[i].get<std::string>());
  }
  if (!valid) fail("{}: \"flags\": expected an array of strings, found {}", score.path(), json.dump());
  return flags;
}

ScoreRecord read_score(const ObjectReader& object, const std::vector<OpRecord>& ops) {
  if (ops.empty()) fail("{}: there are scores but no ops", object.path());
  ScoreRecord score;
  const auto last = std::min<int64_t>(static_cast<int64_t>(ops.size()), std::numeric_limits<int>::max()) - 1;
  score.op = static_cast<int>(object.integer_in("op", 0, last));
  score.format = object.string("format");
  score.mode = named(object, "mode", parse_mode);
  score.method = named(object, "method", parse_method);
  score.status = named(object, "status", parse_status);
  score.flags = read_flags(object);
  read_metrics(object, score.total, score.intervals);
  if (score.total.has_value() != carries_metrics(score.status))
    fail("{}: \"metrics\": expected {} for status {}", object.path(),
         carries_metrics(score.status) ? "an object" : "null", name(score.status));
  score.local = read_local(object);
  score.effective_bits = object.number("effective_bits");
  if (!is_null(object, "rank")) {
    if (!score.total) fail("{}: \"rank\": expected null for status {}", object.path(), name(score.status));
    score.rank = object.integer_in("rank", 1, static_cast<int64_t>(ops.size()));
  }
  if (score.status == Status::spread) score.spread_from = object.string("spread_from");
  return score;
}

Reliability read_reliability(const ObjectReader& object) {
  Reliability r;
  r.format = object.string("format");
  r.mode = named(object, "mode", parse_mode);
  r.method = named(object, "method", parse_method);
  r.spearman = object.number("spearman");
  if (!(std::fabs(r.spearman) <= 1))
    fail("{}: \"spearman\": expected a value from -1 to 1, found {}", object.path(), r.spearman);
  r.splits = count_at(object, "splits");
  return r;
}

void read_model_and_data(const ObjectReader& root, Run& run) {
  const ObjectReader model = root.object("model"), data = root.object("data");
  run.model = {.path_name = model.string("path_name"),
               .family = model.string("family"),
               .parameters = count_at(model, "parameters"),
               .weights_sha256_of_headers = model.string("weights_sha256_of_headers")};
  run.data = {.file_name = data.string("file_name"),
              .samples = count_at(data, "samples"),
              .tokens = count_at(data, "tokens"),
              .answer_tokens = count_at(data, "answer_tokens"),
              .images = count_at(data, "images"),
              .sha256 = data.string("sha256")};
}

}  // namespace

Run from_json(const Json& json, const std::string& where) {
  const ObjectReader root(json, where);
  const std::string schema = root.string("schema");
  if (schema != kSchema) fail("{}: \"schema\": expected \"{}\", found \"{}\"", where, kSchema, schema);
  Run run;
  read_model_and_data(root, run);
  const ObjectReader settings = root.object("settings");
  run.settings = settings.json();
  run.provenance = root.object("provenance").json();
  run.ranking_metric = named(settings, "metric", parse_metric);
  read_ops(root, run);
  each(root, "baselines", [&](const ObjectReader& object) {
    Baseline& baseline = run.baselines.emplace_back();
    baseline.name = object.string("name");
    read_metrics(object, baseline.total, baseline.intervals);
  });
  each(root, "reliability",
       [&](const ObjectReader& object) { run.reliability.push_back(read_reliability(object)); });
  each(root, "scores",
       [&](const ObjectReader& object) { run.scores.push_back(read_score(object, run.ops)); });
  return run;
}

}  // namespace qsweep::scores
