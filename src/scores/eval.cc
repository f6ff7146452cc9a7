#include "scores/eval.h"

#include <algorithm>
#include <unordered_set>

#include "io/atomic_file.h"
#include "scores/csv_row.h"
#include "scores/finalize.h"
#include "scores/schema.h"
#include "scores/schema_parts.h"

namespace qsweep::scores {
namespace {

using io::Json;
using io::ObjectReader;

Json prediction_json(const Prediction& prediction) {
  Json missing = Json::array();
  for (const auto& [op, format] : prediction.missing) missing.push_back(op);
  return {{"metric", name(prediction.metric)},
          {"corrected", or_null(prediction.corrected)},
          {"with_pairs", or_null(prediction.with_pairs)},
          {"plain_sum", prediction.plain_sum},
          {"positions", prediction.positions},
          {"missing", missing}};
}

template <class T>
Json by_sample_json(const BySample<T>& lists) {
  if (lists.front().empty()) return nullptr;
  Json json = Json::object();
  for (const Scope scope : kAllScopes) json[name(scope)] = lists[static_cast<size_t>(scope)];
  return json;
}

// Of as many samples as the data has; files of earlier versions have none.
template <class T>
BySample<T> read_by_sample(const ObjectReader& owner, const std::string& key, int64_t samples) {
  BySample<T> lists;
  if (!owner.has(key)) return lists;
  const ObjectReader object = owner.object(key);
  for (const Scope scope : kAllScopes) {
    const std::string of(name(scope));
    const std::vector<double> numbers = object.numbers(of);
    if (std::ssize(numbers) != samples)
      fail("{}: \"{}\": expected {} numbers, one for each sample of the data, found {}", object.path(), of,
           samples, numbers.size());
    lists[static_cast<size_t>(scope)].assign(numbers.begin(), numbers.end());
  }
  return lists;
}

void fill_by_sample(EvalRun& run) {
  const Which which = run.ranking_metric.which;
  for (const Scope scope : kAllScopes) {
    const auto s = static_cast<size_t>(scope);
    std::vector<int64_t> positions;
    for (EvalRecipe& recipe : run.recipes) {
      positions.clear();
      recipe.sample_errors[s].clear();
      for (const ScopedSums& sums : recipe.per_sample) {
        positions.push_back(count(sums.of(scope), which));
        if (recipe.total) recipe.sample_errors[s].push_back(sum(sums.of(scope), which));
      }
    }
    run.sample_positions[s] = std::move(positions);
  }
}

Json recipe_json(const EvalRecipe& recipe) {
  Json formats = Json::object(), ops = Json::object(), mixed = Json::object();
  for (const auto& [format, n] : recipe.ops_by_format()) formats[format] = n;
  for (const auto& [op, format] : recipe.ops) ops[op] = format;
  for (const auto& [group, members] : recipe.mixed_groups) mixed[group] = Json(members);
  return {{"name", recipe.name},
          {"rules_file", recipe.rules_file},
          {"formats", formats},
          {"float_ops", recipe.float_ops},
          {"quantized_ops", recipe.ops.size()},
          {"effective_bits", recipe.effective_bits},
          {"uncalibrated", recipe.uncalibrated},
          {"unexercised", recipe.unexercised},
          {"ops", ops},
          {"mixed_groups", mixed},
          {"metrics", metrics_json(recipe)},
          {"sample_errors", by_sample_json(recipe.sample_errors)},
          {"predicted", recipe.predicted.empty() ? Json() : array_of(recipe.predicted, prediction_json)}};
}

Prediction read_prediction(const ObjectReader& object, const EvalRecipe& recipe) {
  Prediction prediction{.metric = named(object, "metric", parse_metric),
                        .plain_sum = object.number("plain_sum"),
                        .corrected = {},
                        .positions = count_at(object, "positions"),
                        .missing = {}};
  if (!is_null(object, "corrected")) prediction.corrected = object.number("corrected");
  if (object.has("with_pairs")) prediction.with_pairs = object.number("with_pairs");
  for (const std::string& op : strings_at(object, "missing")) {
    const auto quantized = recipe.ops.find(op);
    if (quantized == recipe.ops.end())
      fail("{}: \"missing\": expected ops of the recipe, found \"{}\"", object.path(), op);
    prediction.missing.emplace_back(op, quantized->second);
  }
  return prediction;
}

void read_mixed_groups(const ObjectReader& groups, EvalRecipe& recipe) {
  for (const auto& group : groups.json().items()) {
    const ObjectReader members = groups.object(group.key());
    for (const auto& member : members.json().items())
      recipe.mixed_groups[group.key()][member.key()] = members.string(member.key());
  }
}

EvalRecipe read_recipe(const ObjectReader& object) {
  EvalRecipe recipe;
  recipe.name = object.string("name");
  recipe.rules_file = object.string("rules_file");
  const ObjectReader ops = object.object("ops");
  for (const auto& item : ops.json().items()) recipe.ops[item.key()] = ops.string(item.key());
  const int64_t quantized = count_at(object, "quantized_ops");
  if (quantized != static_cast<int64_t>(recipe.ops.size()))
    fail("{}: \"quantized_ops\": expected the {} of \"ops\", found {}", object.path(), recipe.ops.size(),
         quantized);
  recipe.float_ops = count_at(object, "float_ops");
  recipe.effective_bits = object.number("effective_bits");
  recipe.uncalibrated = strings_at(object, "uncalibrated");
  recipe.unexercised = strings_at(object, "unexercised");
  if (object.has("mixed_groups")) read_mixed_groups(object.object("mixed_groups"), recipe);
  read_metrics(object, recipe);
  if (!is_null(object, "predicted"))
    each(object, "predicted",
         [&](const ObjectReader& p) { recipe.predicted.push_back(read_prediction(p, recipe)); });
  return recipe;
}

void add_prediction(CsvRow& row, const Prediction* prediction) {
  if (!prediction) return row.empty(5);
  row.number(prediction->corrected.value_or(kUndefined));
  row.number(prediction->with_pairs.value_or(kUndefined));
  row.number(prediction->plain_sum);
  row.integer(prediction->positions);
  row.integer(static_cast<int64_t>(prediction->missing.size()));
}

}  // namespace

void find_mixed_groups(EvalRecipe& recipe, const std::vector<OpRecord>& ops) {
  std::map<std::string, std::map<std::string, std::string>> groups;
  for (const OpRecord& op : ops) {
    const auto format = recipe.ops.find(op.name);
    if (op.fusion_group)
      groups[*op.fusion_group][op.name] = format == recipe.ops.end() ? "float" : format->second;
  }
  std::erase_if(groups, [](const auto& group) {
    const auto& members = group.second;
    return std::ranges::all_of(members, [&](const auto& m) { return m.second == members.begin()->second; });
  });
  recipe.mixed_groups = std::move(groups);
}

std::map<std::string, int64_t> EvalRecipe::ops_by_format() const {
  std::map<std::string, int64_t> counts;
  for (const auto& [op, format] : ops) ++counts[format];
  return counts;
}

const Prediction* EvalRecipe::prediction(Metric metric) const {
  const auto found = std::find_if(predicted.begin(), predicted.end(),
                                  [&](const Prediction& p) { return p.metric == metric; });
  return found == predicted.end() ? nullptr : &*found;
}

void finalize(EvalRun& run, Metric ranking) {
  run.ranking_metric = ranking;
  run.settings["metric"] = name(ranking);
  for (EvalRecipe& recipe : run.recipes) {
    QSWEEP_CHECK(recipe.per_sample.size() == static_cast<size_t>(run.data.samples),
                 "{} has sums of {} of {} samples", recipe.name, recipe.per_sample.size(), run.data.samples);
    finalize(recipe);
  }
  fill_by_sample(run);
}

Json to_json(const EvalRun& run) {
  return {{"schema", kEvalSchema},
          {"model", model_json(run.model)},
          {"data", data_json(run.data)},
          {"settings", run.settings},
          {"provenance", run.provenance},
          {"sample_positions", by_sample_json(run.sample_positions)},
          {"recipes", array_of(run.recipes, recipe_json)}};
}

EvalRun eval_from_json(const Json& json, const std::string& where) {
  const ObjectReader root(json, where);
  require_schema(root, kEvalSchema);
  EvalRun run;
  run.model = read_model(root);
  run.data = read_data(root);
  const ObjectReader settings = root.object("settings");
  run.settings = settings.json();
  run.provenance = root.object("provenance").json();
  run.ranking_metric = named(settings, "metric", parse_metric);
  run.sample_positions = read_by_sample<int64_t>(root, "sample_positions", run.data.samples);
  std::unordered_set<std::string> names;
  each(root, "recipes", [&](const ObjectReader& object) {
    run.recipes.push_back(read_recipe(object));
    run.recipes.back().sample_errors = read_by_sample<double>(object, "sample_errors", run.data.samples);
    if (!names.insert(run.recipes.back().name).second)
      fail("{}: \"name\": \"{}\" is there twice", object.path(), run.recipes.back().name);
  });
  return run;
}

std::string to_csv(const EvalRun& run) {
  CsvRow header;
  for (const char* column : {"recipe", "rules_file", "effective_bits", "quantized_ops", "float_ops",
                             "uncalibrated", "unexercised"})
    header.text(column);
  add_measurement_header(header);
  for (const Metric metric : kRankingMetrics)
    for (const char* column : {"corrected", "with_pairs", "plain_sum", "positions", "missing"})
      header.text(fmt::format("predicted_{}_{}_{}", name(metric.which), name(metric.scope), column));
  std::string csv = header.line();
  for (const EvalRecipe& recipe : run.recipes) {
    CsvRow row;
    row.text(recipe.name);
    row.text(recipe.rules_file);
    row.number(recipe.effective_bits);
    row.integer(static_cast<int64_t>(recipe.ops.size()));
    row.integer(recipe.float_ops);
    row.text(fmt::format("{}", fmt::join(recipe.uncalibrated, ";")));
    row.text(fmt::format("{}", fmt::join(recipe.unexercised, ";")));
    add_measurement(row, recipe, run.ranking_metric);
    for (const Metric metric : kRankingMetrics) add_prediction(row, recipe.prediction(metric));
    csv += row.line();
  }
  return csv;
}

void write_eval(const EvalRun& run, const std::string& folder) {
  io::write_file_atomically(folder + "/eval.json", to_text(to_json(run)));
  io::write_file_atomically(folder + "/eval.csv", to_csv(run));
}

EvalRun read_eval(const std::string& folder) {
  const std::string path = folder + "/eval.json";
  return eval_from_json(io::read_json_file(path), path);
}

}  // namespace qsweep::scores
