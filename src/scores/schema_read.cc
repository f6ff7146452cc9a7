#include <cmath>
#include <limits>
#include <set>
#include <tuple>
#include <unordered_set>

#include "scores/schema.h"
#include "scores/schema_parts.h"

namespace qsweep::scores {
namespace {

using io::Json;
using io::ObjectReader;

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

std::vector<std::pair<std::string, double>> read_estimates(const ObjectReader& score) {
  std::vector<std::pair<std::string, double>> estimates;
  if (!score.has("estimates")) return estimates;
  const ObjectReader object = score.object("estimates");
  for (const auto& [key, value] : object.json().items()) estimates.emplace_back(key, object.number(key));
  return estimates;
}

Method parse_own_method(const std::string& text) {
  const Method method = parse_method(text);
  if (method == Method::automatic)
    fail("method: expected the one that made the score, found \"{}\"", name(method));
  return method;
}

void read_rank(const ObjectReader& object, const Run& run, ScoreRecord& score) {
  if (is_null(object, "rank")) return;
  if (!score.total) fail("{}: \"rank\": expected null for status {}", object.path(), name(score.status));
  if (std::isnan(ranking_value(run, score)))
    fail("{}: \"rank\": expected null, because the score lacks what it would be ranked by", object.path());
  score.rank = object.integer_in("rank", 1, static_cast<int64_t>(run.ops.size()));
}

int read_op_index(const ObjectReader& object, const Run& run) {
  if (run.ops.empty()) fail("{}: there are scores but no ops", object.path());
  const auto last =
      std::min<int64_t>(static_cast<int64_t>(run.ops.size()), std::numeric_limits<int>::max()) - 1;
  return static_cast<int>(object.integer_in("op", 0, last));
}

ScoreRecord read_score(const ObjectReader& object, const Run& run) {
  ScoreRecord score;
  score.op = read_op_index(object, run);
  score.format = object.string("format");
  score.mode = named(object, "mode", parse_mode);
  score.method = named(object, "method", parse_own_method);
  score.status = named(object, "status", parse_status);
  score.flags = strings_at(object, "flags");
  read_metrics(object, score);
  if (score.total.has_value() != carries_metrics(score.status))
    fail("{}: \"metrics\": expected {} for status {}", object.path(),
         carries_metrics(score.status) ? "an object" : "null", name(score.status));
  score.local = read_local(object);
  score.estimates = read_estimates(object);
  score.effective_bits = object.number("effective_bits");
  read_rank(object, run, score);
  if (score.status == Status::spread) score.spread_from = object.string("spread_from");
  return score;
}

// A spread score names an op that was measured for the same ranking.
void check_representatives(const Run& run, const std::string& where) {
  std::set<std::tuple<std::string, std::string, Mode>> measured;  // op, format, mode
  for (const ScoreRecord& score : run.scores)
    if (score.status == Status::ok) measured.insert({run.ops[score.op].name, score.format, score.mode});
  for (size_t i = 0; i < run.scores.size(); ++i) {
    const ScoreRecord& score = run.scores[i];
    if (score.status == Status::spread && !measured.contains({*score.spread_from, score.format, score.mode}))
      fail(
          "{}: scores[{}]: \"spread_from\": expected an op with status ok in the same format and mode, found "
          "\"{}\"",
          where, i, *score.spread_from);
  }
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

VerifiedScore read_verified(const ObjectReader& object, const Run& run) {
  const auto sum = [&](const char* key) { return is_null(object, key) ? NAN : object.number(key); };
  VerifiedScore v;
  v.op = read_op_index(object, run);
  v.format = object.string("format");
  v.mode = named(object, "mode", parse_mode);
  v.method = named(object, "method", parse_own_method);
  const std::string chosen = object.string("chosen");
  if (chosen != kChosenTop && chosen != kChosenRandom)
    fail("{}: \"chosen\": expected \"{}\" or \"{}\", found \"{}\"", object.path(), kChosenTop, kChosenRandom,
         chosen);
  v.top = chosen == kChosenTop;
  v.score = sum("score");
  v.strict = sum("strict");
  return v;
}

Baseline read_baseline(const ObjectReader& object) {
  Baseline baseline;
  baseline.name = object.string("name");
  baseline.format = object.has("format") ? object.string("format") : format_of_baseline(baseline.name);
  if (object.has("float_ops")) baseline.float_ops = strings_at(object, "float_ops");
  read_metrics(object, baseline);
  return baseline;
}

}  // namespace

Run from_json(const Json& json, const std::string& where) {
  const ObjectReader root(json, where);
  require_schema(root, kSchema);
  Run run;
  run.model = read_model(root);
  run.data = read_data(root);
  const ObjectReader settings = root.object("settings");
  run.settings = settings.json();
  run.provenance = root.object("provenance").json();
  run.ranking_metric = named(settings, "metric", parse_metric);
  run.joint_ranking = settings.has("method") && settings.at("method") == name(Method::automatic);
  read_ops(root, run);
  each(root, "baselines",
       [&](const ObjectReader& object) { run.baselines.push_back(read_baseline(object)); });
  each(root, "reliability",
       [&](const ObjectReader& object) { run.reliability.push_back(read_reliability(object)); });
  each(root, "scores", [&](const ObjectReader& object) { run.scores.push_back(read_score(object, run)); });
  if (root.has("verification"))
    each(root, "verification",
         [&](const ObjectReader& object) { run.verification.push_back(read_verified(object, run)); });
  check_representatives(run, where);
  return run;
}

}  // namespace qsweep::scores
