#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "scores/schema.h"
#include "scores/schema_check.h"
#include "scores/schema_parts.h"

namespace qsweep::scores {
namespace {

using io::Json;
using io::ObjectReader;

std::optional<LocalStats> read_local(const ObjectReader& score) {
  if (is_null(score, "local")) return std::nullopt;
  const ObjectReader local = score.object("local");
  const LocalStats stats{.error_sse = non_negative_at(local, "error_sse"),
                         .output_sse = non_negative_at(local, "output_sse"),
                         .input_min = local.number("input_min"),
                         .input_max = local.number("input_max"),
                         .input_sum_squares = non_negative_at(local, "input_sum_squares"),
                         .input_elements = count_at(local, "input_elements"),
                         .rows = count_at(local, "rows")};
  if (!(stats.input_min <= stats.input_max))
    fail("{}: \"input_min\": expected at most \"input_max\" {}, found {}", local.path(), stats.input_max,
         stats.input_min);
  return stats;
}

// What is no linear op is a cache.
CacheShape read_cache(const ObjectReader& object, const OpRecord& op) {
  if (const std::string kind = object.string("kind"); kind != kCacheKind)
    fail("{}: \"kind\": expected \"{}\" or no such key, found {}", object.path(), kCacheKind,
         io::shortened(kind));
  const CacheShape cache{.heads = count_at(object, "heads"), .head_dim = count_at(object, "head_dim")};
  if (cache.head_dim == 0 || op.in_features % 2 != 0 || cache.heads != op.in_features / 2 / cache.head_dim ||
      (op.in_features / 2) % cache.head_dim != 0)
    fail("{}: \"heads\": expected heads of {} for {} numbers, found {}", object.path(), cache.head_dim,
         op.in_features, cache.heads);
  return cache;
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
  if (object.has("kind")) op.cache = read_cache(object, op);
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

// Which op of the run a record is of: by name, in schema 1 by index.
class OpReader {
 public:
  OpReader(const Run& run, bool by_index)
      : count_(static_cast<int64_t>(run.ops.size())), by_index_(by_index) {
    if (count_ > std::numeric_limits<int>::max()) fail("{} ops are more than there can be", count_);
    for (size_t i = 0; i < run.ops.size(); ++i) places_[run.ops[i].name] = static_cast<int>(i);
  }

  // By name, of what stands at `object`.
  int named(const ObjectReader& object, const std::string& key, const std::string& name) const {
    const auto place = places_.find(name);
    if (place == places_.end())
      fail("{}: \"{}\": expected the name of one of \"ops\", found {}", object.path(), key,
           io::shortened(name));
    return place->second;
  }

  int read(const ObjectReader& object) const {
    if (count_ == 0) fail("{}: there are scores but no ops", object.path());
    if (by_index_) return static_cast<int>(object.integer_in("op", 0, count_ - 1));
    return named(object, "op", object.string("op"));
  }

 private:
  int64_t count_;
  bool by_index_;
  std::unordered_map<std::string, int> places_;
};

ScoreRecord read_score(const ObjectReader& object, const Run& run, const OpReader& ops) {
  ScoreRecord score;
  score.op = ops.read(object);
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
  score.effective_bits = non_negative_at(object, "effective_bits");
  read_rank(object, run, score);
  if (score.status == Status::spread) score.spread_from = object.string("spread_from");
  return score;
}

double correlation_at(const ObjectReader& object, const std::string& key) {
  const double value = object.number(key);
  if (!(std::fabs(value) <= 1))
    fail("{}: \"{}\": expected a value from -1 to 1, found {}", object.path(), key, value);
  return value;
}

Reliability read_reliability(const ObjectReader& object) {
  Reliability r;
  r.format = object.string("format");
  r.mode = named(object, "mode", parse_mode);
  r.method = named(object, "method", parse_method);
  r.spearman = correlation_at(object, "spearman");
  r.splits = count_at(object, "splits");
  if (!object.has("by_scope")) return r;
  const ObjectReader by_scope = object.object("by_scope");
  for (size_t i = 0; i < kAllScopes.size(); ++i)
    if (const std::string scope(name(kAllScopes[i])); by_scope.has(scope))
      r.by_scope[i] = correlation_at(by_scope, scope);
  return r;
}

VerifiedScore read_verified(const ObjectReader& object, const Run& run, const OpReader& ops) {
  const auto sum = [&](const char* key) { return is_null(object, key) ? NAN : object.number(key); };
  VerifiedScore v;
  v.op = ops.read(object);
  v.format = object.string("format");
  v.mode = named(object, "mode", parse_mode);
  v.method = named(object, "method", parse_own_method);
  const std::string chosen = object.string("chosen");
  if (chosen != kChosenTop && chosen != kChosenRandom)
    fail("{}: \"chosen\": expected \"{}\" or \"{}\", found \"{}\"", object.path(), kChosenTop, kChosenRandom,
         chosen);
  v.top = chosen == kChosenTop;
  v.metric = object.has("metric") ? named(object, "metric", parse_metric) : run.ranking_metric;
  v.score = sum("score");
  v.strict = sum("strict");
  return v;
}

Baseline read_baseline(const ObjectReader& object) {
  Baseline baseline;
  baseline.name = object.string("name");
  baseline.format = object.has("format") ? object.string("format") : format_of_baseline(baseline.name);
  if (object.has("float_ops")) baseline.float_ops = strings_at(object, "float_ops");
  if (object.has(kFlippedRows)) {
    baseline.flipped_rows = object.number(kFlippedRows);
    if (*baseline.flipped_rows < 0 || *baseline.flipped_rows > 1)
      fail("{}: \"{}\": expected a share from 0 to 1, found {}", object.path(), kFlippedRows,
           *baseline.flipped_rows);
  }
  read_metrics(object, baseline);
  return baseline;
}

GroupScore read_group(const ObjectReader& object, const OpReader& ops) {
  GroupScore group;
  group.name = object.string("group");
  group.format = object.string("format");
  group.status = named(object, "status", parse_status);
  for (const std::string& op : strings_at(object, "ops")) group.ops.push_back(ops.named(object, "ops", op));
  if (group.ops.empty() || std::ranges::adjacent_find(group.ops, std::greater_equal<>()) != group.ops.end())
    fail("{}: \"ops\": expected ops in their order, each once, found others", object.path());
  read_metrics(object, group);
  if (group.status == Status::spread || group.total.has_value() != (group.status == Status::ok))
    fail("{}: \"metrics\": expected {} for status {}", object.path(),
         group.status == Status::ok ? "an object" : "null, and another status", name(group.status));
  group.effective_bits = non_negative_at(object, "effective_bits");
  return group;
}

}  // namespace

Run from_json(const Json& json, const std::string& where) {
  const ObjectReader root(json, where);
  const bool old = root.has("schema") && root.at("schema") == kOldSchema;
  if (!old) require_schema(root, kSchema);
  Run run;
  run.model = read_model(root);
  run.data = read_data(root);
  const ObjectReader settings = root.object("settings");
  run.settings = settings.json();
  run.provenance = root.object("provenance").json();
  run.ranking_metric = named(settings, "metric", parse_metric);
  run.joint_ranking = settings.has("method") && settings.at("method") == name(Method::automatic);
  read_ops(root, run);
  const OpReader ops(run, old);
  each(root, "baselines",
       [&](const ObjectReader& object) { run.baselines.push_back(read_baseline(object)); });
  each(root, "reliability",
       [&](const ObjectReader& object) { run.reliability.push_back(read_reliability(object)); });
  each(root, "scores",
       [&](const ObjectReader& object) { run.scores.push_back(read_score(object, run, ops)); });
  if (root.has("groups"))
    each(root, "groups", [&](const ObjectReader& object) { run.groups.push_back(read_group(object, ops)); });
  if (root.has("verification"))
    each(root, "verification",
         [&](const ObjectReader& object) { run.verification.push_back(read_verified(object, run, ops)); });
  check(run, where);
  return run;
}

}  // namespace qsweep::scores
