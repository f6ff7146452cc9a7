#include "compare/other.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "scores/op_names.h"
#include "scores/schema.h"
#include "scores/schema_parts.h"

namespace qsweep::compare {
namespace {

using io::Json;
using io::ObjectReader;
using scores::Mode;

using Keys = std::vector<std::string_view>;

// What tools and their users write beside scores without changing what these mean: how they were made. All
// else may, so a file with another key is refused.
const Keys kProvenance{"batch",
                       "command",
                       "cpu",
                       "cpu_flags",
                       "dtype",
                       "forward_seconds",
                       "forward_steps",
                       "formats",
                       "load_average",
                       "method",
                       "model",
                       "peak_rss_gib",
                       "phase_cpu_seconds",
                       "phase_seconds",
                       "phases_wrapped",
                       "python",
                       "regime",
                       "seconds",
                       "seconds_per_op",
                       "setup_seconds",
                       "threads",
                       "tokens",
                       "total_seconds",
                       "versions"};
// What was chosen by the scores, or left out of them.
const Keys kModelOptKeys{"best", "constraints", "excluded", "forward_had_grad", "groups"};
const Keys kGroupKeys{"costs", "formats", "modules", "scores"};
const Keys kLayerListKeys{"layer_sensitivity", "scheme"},
    kLayerKeys{"layer", "num_bits", "sensitivity", "size_cost"};
const Keys kIncKeys{"all_quantized",
                    "excluded",
                    "fallback",
                    "fallback_agreement",
                    "first_op_config",
                    "fp32_fallback_sensitivity",
                    "int8_ops",
                    "int8_requant_sensitivity",
                    "ops",
                    "qengine",
                    "reduce_range",
                    "requant",
                    "requant_agreement",
                    "requant_start_fp32",
                    "sub_module_list"};
const Keys kIncMapKeys{
    "calls",          "double_check_scores",   "median_cpu_seconds", "median_cpu_seconds_per_op",
    "median_seconds", "median_seconds_per_op", "returned_order",     "scores",
    "seconds",        "seconds_per_op",        "total_seconds"};
const Keys kIncRowKeys{"mse", "op_name", "op_type"};

void only_keys(const ObjectReader& object, const Keys& known, const Keys& more = {}) {
  for (const auto& item : object.json().items())
    if (std::ranges::find(known, item.key()) == known.end() &&
        std::ranges::find(more, item.key()) == more.end())
      fail(
          "{}: unknown key \"{}\", which may change what the scores mean; known: {}; remove it if it does "
          "not",
          object.path(), item.key(), fmt::join(known, ", "));
}

double finite(double score, const std::string& where, const std::string& op) {
  if (!std::isfinite(score)) fail("{}: \"{}\": expected a finite score, found {}", where, op, score);
  return score;
}

void add(Ranking& ranking, const std::string& where, const std::string& name, double score,
         const std::vector<std::string>& modules) {
  Entry entry{scores::canonical_name(name), {}, finite(score, where, name)};
  for (const std::string& module : modules) entry.members.push_back(scores::canonical_name(module));
  if (entry.members.empty()) entry.members.push_back(entry.name);
  ranking.entries.push_back(entry);
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// ModelOpt's name for leaving a group as it is.
bool is_float(const std::string& format) { return format.starts_with("NONE"); }

std::string choose_format(const ObjectReader& groups, const Choice& choice) {
  std::vector<std::string> all, fitting;
  for (const auto& group : groups.json().items())
    for (const std::string& format : scores::strings_at(groups.object(group.key()), "formats"))
      if (!is_float(format) && std::find(all.begin(), all.end(), format) == all.end()) all.push_back(format);
  for (const std::string& format : all)
    if (!choice.format || lower(format).find(lower(*choice.format)) != std::string::npos)
      fitting.push_back(format);
  if (fitting.size() != 1)
    fail("{}: expected scores of one format, found {}: choose with --other-format", groups.path(),
         all.empty() ? "none" : fmt::format("{}", fmt::join(all, "; ")));
  return fitting.front();
}

void read_modelopt(const ObjectReader& root, const Choice& choice, Ranking& ranking) {
  only_keys(root, kModelOptKeys, kProvenance);
  const ObjectReader groups = root.object("groups");
  const std::string format = choose_format(groups, choice);
  const std::string method = root.has("method") ? root.string("method") : "";
  ranking.what = fmt::format("ModelOpt{}, {}", method.empty() ? "" : " " + method, format);
  if (method == "gradient") ranking.like_estimate = "element_form";
  ranking.format = format;
  ranking.mode = Mode::isolated;
  for (const auto& item : groups.json().items()) {
    const ObjectReader group = groups.object(item.key());
    only_keys(group, kGroupKeys);
    const std::vector<std::string> formats = scores::strings_at(group, "formats");
    const std::vector<double> found = group.numbers("scores");
    if (found.size() != formats.size())
      fail("{}: \"scores\": expected one for each of the {} formats, found {}", group.path(), formats.size(),
           found.size());
    const auto place = std::find(formats.begin(), formats.end(), format);
    if (place == formats.end()) {
      ranking.unscored.emplace_back(scores::canonical_name(item.key()), "not in this format");
      continue;
    }
    add(ranking, group.path(), item.key(), found[static_cast<size_t>(place - formats.begin())],
        group.has("modules") ? scores::strings_at(group, "modules") : std::vector<std::string>());
    ranking.names_first_members = ranking.names_first_members || !group.has("modules");
  }
}

void read_layer_list(const ObjectReader& root, Ranking& ranking) {
  only_keys(root, kLayerListKeys, kProvenance);
  ranking.what = "layer_sensitivity of ModelOpt";
  ranking.mode = Mode::isolated;
  ranking.names_first_members = true;
  scores::each(root, "layer_sensitivity", [&](const ObjectReader& row) {
    only_keys(row, kLayerKeys);
    add(ranking, row.path(), row.string("layer"), row.number("sensitivity"), {});
  });
}

void read_map(const ObjectReader& map, Ranking& ranking) {
  for (const auto& item : map.json().items())
    add(ranking, map.path(), item.key(), map.number(item.key()), {});
}

// One of Neural Compressor's two results, in whichever of its layouts; without entries where the file has
// none.
void read_inc_map(const ObjectReader& root, bool fallback, Ranking& ranking) {
  const std::string key = fallback ? "fallback" : "requant";
  const std::string list = fallback ? "fp32_fallback_sensitivity" : "int8_requant_sensitivity";
  if (root.has(list)) {
    scores::each(root, list, [&](const ObjectReader& row) {
      only_keys(row, kIncRowKeys);
      add(ranking, row.path(), row.string("op_name"), row.number("mse"), {});
    });
  } else if (root.has(key) && root.object(key).has("scores") && root.object(key).at("scores").is_object()) {
    only_keys(root.object(key), kIncMapKeys);
    read_map(root.object(key).object("scores"), ranking);
  } else if (root.has(key)) {
    read_map(root.object(key), ranking);
  }
}

void read_inc(const ObjectReader& root, const Choice& choice, const scores::ScoreGroup& like,
              Ranking& ranking) {
  only_keys(root, kIncKeys, kProvenance);
  const Mode mode = choice.mode.value_or(like.mode);
  // Isolated scores have no counterpart; the fallback map at least is of single ops.
  bool fallback = mode == Mode::leave_one_out || mode == Mode::isolated;
  read_inc_map(root, fallback, ranking);
  if (ranking.entries.empty() && !choice.mode) {
    fallback = !fallback;
    read_inc_map(root, fallback, ranking);
  }
  ranking.smallest_first = fallback;
  ranking.format = "int8";
  ranking.mode = fallback ? Mode::leave_one_out : Mode::requantize_cumulative;
  ranking.what = fallback ? "Neural Compressor mse_v2, fallback" : "Neural Compressor mse_v2, requant";
  ranking.notes.push_back(
      fallback ? "fallback: one op is float, so the smallest remaining error is the most sensitive op"
               : "requant: ops are quantized one after the other, so a score includes those before it");
}

void read_plain_map(const ObjectReader& root, const Choice& choice, Ranking& ranking) {
  read_map(root, ranking);
  ranking.what = "a map of scores";
  ranking.smallest_first = choice.mode == Mode::leave_one_out;
  ranking.mode = choice.mode;
  ranking.notes.push_back(
      ranking.smallest_first
          ? "the smallest score is taken as the most sensitive op, as of a fallback map"
          : "the largest score is taken as the most sensitive op; give --other-mode leave-one-out for a "
            "fallback map, in which the smallest is");
}

bool is_number_map(const Json& json) {
  return !json.empty() &&
         std::all_of(json.begin(), json.end(), [](const Json& value) { return value.is_number(); });
}

std::string keys_of(const Json& json) {
  constexpr size_t kShown = 8;
  std::vector<std::string> keys;
  for (const auto& item : json.items())
    if (keys.size() < kShown) keys.push_back(io::shortened(Json(item.key())));
  return keys.empty() ? "none" : fmt::format("{}", fmt::join(keys, ", "));
}

}  // namespace

Ranking other_from_json(const Json& json, const std::string& source, const Choice& choice,
                        const scores::ScoreGroup& like) {
  const ObjectReader root(json, source);
  if (root.has("schema")) {
    const scores::Run run = scores::from_json(json, source);
    const scores::ScoreGroup group = choose_group(run, source, choice, &like);
    return ranking_of(run, group, source, choice.metric.value_or(run.ranking_metric));
  }
  Ranking ranking;
  ranking.source = source;
  if (root.has("groups"))
    read_modelopt(root, choice, ranking);
  else if (root.has("layer_sensitivity"))
    read_layer_list(root, ranking);
  else if (root.has("fallback") || root.has("requant") || root.has("fp32_fallback_sensitivity") ||
           root.has("int8_requant_sensitivity"))
    read_inc(root, choice, like, ranking);
  else if (is_number_map(json))
    read_plain_map(root, choice, ranking);
  else
    fail(
        "{}: expected a qsweep run, a ModelOpt result (\"groups\" or \"layer_sensitivity\"), a Neural "
        "Compressor result (\"fallback\", \"requant\") or a map of op names to scores, found the keys {}",
        source, keys_of(json));
  if (ranking.entries.empty()) fail("{}: expected scores of ops, found none", source);
  return ranking;
}

Ranking read_other(const std::string& path, const Choice& choice, const scores::ScoreGroup& like) {
  return other_from_json(io::read_json_file(scores_file(path)), scores_file(path), choice, like);
}

std::vector<std::string> formats_of_run(const std::string& path) {
  const Json json = io::read_json_file(scores_file(path));
  std::vector<std::string> formats;
  if (!json.is_object() || !json.contains("schema")) return formats;
  for (const scores::ScoreGroup& group : group_scores(scores::from_json(json, scores_file(path))))
    formats.push_back(group.format);
  return formats;
}

}  // namespace qsweep::compare
