#include "report/view.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "compare/agreement.h"
#include "report/recipe_difference.h"
#include "report/recipes.h"
#include "report/text.h"
#include "report/time.h"
#include "report/view_run.h"
#include "scores/files.h"
#include "scores/schema_parts.h"

namespace qsweep::report {
namespace {

using io::Json;
using io::ObjectReader;

bool has(const std::string& folder, const char* file) {
  std::error_code ignored;
  return std::filesystem::exists(folder + "/" + file, ignored);
}

std::optional<Json> read_as(const std::string& path, std::string_view schema) {
  Json json = io::read_json_file(path);
  scores::require_schema(ObjectReader(json, path), schema);
  return json;
}

double number_or_nan(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : kUndefined;
}

// A recipe as the spectrum shows it, from either file.
struct Point {
  std::string name;
  double bits = kUndefined, predicted = kUndefined, measured = kUndefined, flips = kUndefined;
  std::optional<scores::Interval> interval;
  std::map<std::string, std::string> formats;  // by op
  int64_t positions = 0;                       // that were measured
  bool chosen = false;                         // stands in recipes.json
};

// By the samples that judge, where there are some, else by those that chose.
void take_measured(const ObjectReader& measured, Point& point) {
  const char* key = measured.has("held_out") ? "held_out" : "seen";
  if (!measured.has(key)) return;
  const ObjectReader judged = measured.object(key);
  point.measured = judged.number("error");
  if (!judged.has("ci95")) return;
  const std::vector<double> ends = judged.numbers("ci95");
  if (ends.size() == 2) point.interval = {ends[0], ends[1]};
}

std::vector<Point> chosen_points(const Json& recipes) {
  std::vector<Point> points;
  const ObjectReader root(recipes, "recipes.json");
  scores::each(root, "recipes", [&](const ObjectReader& recipe) {
    Point point{.name = recipe.string("name"),
                .bits = recipe.number("effective_bits"),
                .predicted = recipe.number("predicted"),
                .interval = {},
                .formats = {},
                .chosen = true};
    const ObjectReader ops = recipe.object("ops");
    for (const auto& op : ops.json().items()) point.formats[op.key()] = ops.string(op.key());
    if (recipe.has("measured")) take_measured(recipe.object("measured"), point);
    points.push_back(std::move(point));
  });
  return points;
}

Point measured_point(const scores::EvalRun& eval, const scores::EvalRecipe& recipe) {
  const scores::Metric metric = eval.ranking_metric;
  Point point{.name = recipe.name,
              .bits = recipe.effective_bits,
              .measured = recipe.per_position(metric),
              .flips = recipe.per_position({scores::Which::top1_flips, metric.scope}),
              .interval = recipe.intervals.of(metric),
              .formats = recipe.ops};
  if (recipe.total) point.positions = count(recipe.total->of(metric.scope), metric.which);
  const scores::Prediction* prediction = recipe.prediction(metric);
  if (prediction && prediction->best() && prediction->positions > 0)
    point.predicted = *prediction->best() / static_cast<double>(prediction->positions);
  return point;
}

// Those that were chosen, with what was measured of the same choice, then other ones.
std::vector<Point> all_points(const Findings& findings) {
  std::vector<Point> points;
  if (findings.recipes) points = chosen_points(*findings.recipes);
  if (findings.eval)
    for (const scores::EvalRecipe& recipe : findings.eval->recipes) {
      Point measured = measured_point(*findings.eval, recipe);
      const auto same = std::ranges::find_if(points, [&](const Point& p) {
        return p.chosen && p.name == measured.name && p.formats == measured.formats;
      });
      if (same == points.end()) {
        points.push_back(std::move(measured));
      } else {
        measured.chosen = true;
        *same = std::move(measured);
      }
    }
  std::ranges::stable_sort(points, {}, &Point::bits);
  return points;
}

// Of every op of the run the index of its format, -1 for float; null without a run.
Json choice_of(const Findings& findings, const Point& point, std::vector<std::string>& formats) {
  if (!findings.run) return nullptr;
  Json choice = Json::array();
  for (const scores::OpRecord& op : findings.run->ops) {
    const auto format = point.formats.find(op.name);
    if (format == point.formats.end()) {
      choice.push_back(-1);
      continue;
    }
    const auto known = std::ranges::find(formats, format->second);
    choice.push_back(known - formats.begin());
    if (known == formats.end()) formats.push_back(format->second);
  }
  return choice;
}

// How many samples the recipes were measured on; null where they were not.
Json measured_samples(const Findings& findings) {
  if (findings.eval) return findings.eval->data.samples;
  const ObjectReader recipes(*findings.recipes, "recipes.json");
  if (!recipes.has("measured_on")) return nullptr;
  const ObjectReader measured = recipes.object("measured_on");
  const std::vector<int64_t> held_out = measured.integers("held_out");
  return held_out.empty() ? measured.object("data").integer("samples") : std::ssize(held_out);
}

Json recipes_view(const Findings& findings) {
  if (!findings.recipes && !findings.eval) return nullptr;
  std::vector<std::string> formats;
  Json points = Json::array();
  for (const Point& point : all_points(findings)) {
    std::map<std::string, size_t> counts;
    for (const auto& [op, format] : point.formats) ++counts[format];
    points.push_back({{"name", point.name},
                      {"bits", rounded(point.bits)},
                      {"predicted", rounded(point.predicted)},
                      {"measured", rounded(point.measured)},
                      {"interval", rounded(point.interval)},
                      {"flips", rounded(point.flips)},
                      {"positions", point.positions},
                      {"counts", counts},
                      {"choice", choice_of(findings, point, formats)}});
  }
  const std::string metric = findings.eval ? name(findings.eval->ranking_metric)
                                           : ObjectReader(*findings.recipes, "recipes.json").string("metric");
  return {
      {"metric", metric}, {"samples", measured_samples(findings)}, {"formats", formats}, {"points", points}};
}

Json recipe_side_view(const ObjectReader& side) {
  return {{"name", side.string("name")},
          {"file", side.string("rules_file")},
          {"bits", rounded(side.number("effective_bits"))},
          {"bytes", rounded(number_or_nan(side.json(), "checkpoint_bytes"))},
          {"predicted", rounded(number_or_nan(side.json(), "predicted"))},
          {"plain_sum", rounded(number_or_nan(side.json(), "plain_sum"))},
          {"unscored", scores::strings_at(side, "unscored")}};
}

Json difference_view(const Findings& findings) {
  if (!findings.difference) return nullptr;
  const ObjectReader root(*findings.difference, "compare_recipes.json");
  Json changes = Json::array();
  scores::each(root, "differing", [&](const ObjectReader& change) {
    changes.push_back({{"name", change.string("name")},
                       {"ops", scores::strings_at(change, "ops")},
                       {"a", change.string("a")},
                       {"b", change.string("b")},
                       {"bits", rounded(change.number("effective_bits"))},
                       {"predicted", rounded(number_or_nan(change.json(), "predicted"))}});
  });
  const ObjectReader change = root.object("change");
  return {{"metric", root.string("metric")},
          {"positions", root.integer("positions")},
          {"samples", root.object("data").integer("samples")},
          {"a", recipe_side_view(root.object("a"))},
          {"b", recipe_side_view(root.object("b"))},
          {"bits", rounded(change.number("effective_bits"))},
          {"predicted", rounded(number_or_nan(change.json(), "predicted"))},
          {"same", root.integer("same_ops")},
          {"changes", changes}};
}

Json side_view(const ObjectReader& side) {
  return {{"source", side.string("source")}, {"what", side.string("what")}};
}

Json comparison_view(const ObjectReader& comparison) {
  Json units = Json::array();
  scores::each(comparison, "ops", [&](const ObjectReader& unit) {
    units.push_back({{"name", unit.string("name")},
                     {"tower", unit.string("tower")},
                     {"run_score", rounded(unit.number("run_score"))},
                     {"other_score", rounded(unit.number("other_score"))},
                     {"run_rank", unit.number("run_rank")},
                     {"other_rank", unit.number("other_rank")}});
  });
  const ObjectReader all = comparison.object("all");
  return {{"run", side_view(comparison.object("run"))},
          {"other", side_view(comparison.object("other"))},
          {"matched", all.integer("matched")},
          {"spearman", rounded(number_or_nan(all.json(), "spearman"))},
          {"kendall", rounded(number_or_nan(all.json(), "kendall"))},
          {"warnings", scores::strings_at(comparison, "warnings")},
          {"outliers", scores::strings_at(comparison, "outliers")},
          {"units", units}};
}

Json comparisons_view(const Findings& findings) {
  Json views = Json::array();
  if (!findings.comparison) return views;
  const ObjectReader root(*findings.comparison, "compare.json");
  if (root.has("comparisons"))
    scores::each(root, "comparisons", [&](const ObjectReader& c) { views.push_back(comparison_view(c)); });
  else
    views.push_back(comparison_view(root));
  return views;
}

// [[phase, seconds, [[kind of work, seconds], ...]], ...]
Json time_view(const Json& provenance) {
  Json phases = Json::array();
  const Json work = provenance.value("work", Json::object());
  const Json seconds = provenance.value("phases_s", Json::object());
  for (const auto& [phase, value] : seconds.items()) {
    if (!value.is_number()) continue;
    Json kinds = Json::array();
    if (work.is_object() && work.contains(phase) && work[phase].is_object())
      for (const auto& [kind, entry] : work[phase].items())
        if (entry.is_object())
          kinds.push_back(
              {kind == "phase" ? "other" : work_label(kind), rounded(number_or_nan(entry, "seconds"))});
    phases.push_back({phase, rounded(value.get<double>()), kinds});
  }
  return {{"wall_s", rounded(number_or_nan(provenance, "wall_s"))},
          {"line", time_line(provenance)},
          {"phases", phases}};
}

std::string quoted(const std::string& text) {
  const std::string plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string safe = "'";
  for (const char c : text) safe += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return safe + "'";
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// What says nothing of the results, or is off or not given.
bool is_left_out(const std::string& flag, const Json& value) {
  static constexpr std::string_view kOfTheCall[] = {"resume", "quiet", "json", "dry-run", "trace"};
  const bool empty = (value.is_string() && value.get_ref<const std::string&>().empty()) ||
                     (value.is_array() && value.empty());
  return std::ranges::find(kOfTheCall, flag) != std::end(kOfTheCall) || value.is_null() || value == false ||
         empty;
}

// The command line with every setting as it was resolved.
std::string command_line(const std::string& command, const Json& settings) {
  std::string text = "qsweep " + command;
  for (const auto& [flag, value] : settings.items()) {
    if (is_left_out(flag, value)) continue;
    if (flag == "model" || flag == "run") {
      text += " " + quoted(text_of(value));
      continue;
    }
    const Json values = value.is_array() ? value : Json::array({value});
    for (const Json& one : values)
      text += value == true ? " --" + flag : " --" + flag + " " + quoted(text_of(one));
  }
  return text;
}

Json command_view(const std::string& command, const Json& settings, const Json& provenance) {
  Json values = Json::array();
  for (const auto& [flag, value] : settings.items()) values.push_back({flag, text_of(value)});
  return {{"command", command_line(command, settings)},
          {"settings", values},
          {"version", provenance.value("version", Json())}};
}

Json commands_view(const Findings& findings) {
  Json commands = Json::array();
  if (findings.run) {
    const Json& settings = findings.run->settings;
    // A forecast from another model's run has other flags.
    commands.push_back(
        command_view(settings.contains("to") ? "transfer" : "score", settings, findings.run->provenance));
  }
  if (findings.recipes && findings.recipes->contains("settings"))
    commands.push_back(command_view("recipe", (*findings.recipes)["settings"], Json::object()));
  if (findings.eval)
    commands.push_back(command_view("eval", findings.eval->settings, findings.eval->provenance));
  return commands;
}

std::string title_of(const Findings& findings) {
  if (findings.run) return findings.run->model.path_name;
  if (findings.eval) return findings.eval->model.path_name;
  for (const Json* file : {findings.recipes, findings.difference})
    if (file) return ObjectReader(*file, "the file of recipes").object("model").string("path_name");
  return "Comparison";
}

}  // namespace

Findings FoundFiles::findings() const {
  const auto there = [](const auto& file) { return file ? &*file : nullptr; };
  return {.run = there(run),
          .eval = there(eval),
          .recipes = there(recipes),
          .comparison = there(comparison),
          .difference = there(difference)};
}

FoundFiles read_files(const std::vector<std::string>& folders) {
  FoundFiles found;
  for (const std::string& folder : folders) {
    if (!found.run && has(folder, "scores.json")) found.run = scores::read_scores(folder);
    if (!found.eval && has(folder, "eval.json")) found.eval = scores::read_eval(folder);
    if (!found.recipes && has(folder, "recipes.json"))
      found.recipes = read_as(folder + "/recipes.json", kRecipesSchema);
    if (!found.comparison && has(folder, "compare.json"))
      found.comparison = read_as(folder + "/compare.json", compare::kSchema);
    if (!found.difference && has(folder, "compare_recipes.json"))
      found.difference = read_as(folder + "/compare_recipes.json", kRecipeDifferenceSchema);
  }
  if (!found.run && !found.eval && !found.recipes && !found.comparison && !found.difference)
    fail(
        "{}: expected scores.json, eval.json, recipes.json, compare.json or compare_recipes.json, found none",
        fmt::join(folders, ", "));
  return found;
}

Json view(const Findings& findings) {
  const Json* provenance = findings.run    ? &findings.run->provenance
                           : findings.eval ? &findings.eval->provenance
                                           : nullptr;
  return {{"title", title_of(findings)},
          {"run", findings.run ? run_view(*findings.run) : Json()},
          {"recipes", recipes_view(findings)},
          {"difference", difference_view(findings)},
          {"comparisons", comparisons_view(findings)},
          {"time", provenance ? time_view(*provenance) : Json()},
          {"commands", commands_view(findings)}};
}

}  // namespace qsweep::report
