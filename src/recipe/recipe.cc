#include "recipe/recipe.h"

#include <algorithm>
#include <filesystem>

#include <fmt/ranges.h>

#include "base/readable.h"
#include "io/json.h"
#include "scores/op_names.h"

namespace qsweep::recipe {
namespace {

constexpr std::string_view kFloat = "float";

void only_keys(const io::ObjectReader& object, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.json().items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      fail("{}: unknown key \"{}\"; known: {}", object.path(), key, fmt::join(known, ", "));
}

Rule read_rule(const io::ObjectReader& object) {
  only_keys(object, {"ops", "format"});
  Rule rule{.ops = object.string("ops")};
  const std::string format = object.string("format");
  if (format != kFloat)
    rule.format = with_context(object.path() + ": \"format\" other than \"float\"",
                               [&] { return &quant::find_format(format); });
  return rule;
}

Recipe read(const io::Json& json, const std::string& path) {
  const io::ObjectReader root(json, path);
  only_keys(root, {"name", "rules"});
  Recipe recipe{.name = root.string("name"),
                .file_name = valid_utf8(std::filesystem::path(path).filename().string()),
                .rules = {}};
  if (recipe.name.empty()) fail("{}: \"name\": expected a name, found an empty string", path);
  const io::Json& rules = root.at("rules");
  if (!rules.is_array() || rules.empty())
    fail("{}: \"rules\": expected an array of at least one rule, found {}", path, io::shortened(rules));
  for (size_t i = 0; i < rules.size(); ++i)
    recipe.rules.push_back(read_rule(io::ObjectReader(rules[i], fmt::format("{}: rules[{}]", path, i))));
  return recipe;
}

}  // namespace

Recipe read_recipe(const std::string& path) { return read(io::read_json_file(path), path); }

Recipe parse_recipe(std::string_view text, const std::string& path) {
  return read(io::parse_json(text, path), path);
}

std::vector<const quant::Format*> formats_of(const Recipe& recipe, std::span<const std::string> op_names) {
  std::vector<const quant::Format*> formats(op_names.size());
  for (const Rule& rule : recipe.rules) {
    const std::vector<bool> matching = scores::matching_ops(rule.ops, op_names);
    if (std::ranges::find(matching, true) == matching.end())
      fail("{}: no op matches \"{}\" (qsweep inspect lists the ops)", recipe.file_name, rule.ops);
    bool taken = rule.format == nullptr;
    for (size_t op = 0; op < op_names.size(); ++op) {
      if (!matching[op]) continue;
      if (rule.format != nullptr && rule.format->of_caches != scores::names_cache(op_names[op])) continue;
      formats[op] = rule.format;
      taken = true;
    }
    if (!taken)
      fail("{}: \"{}\": expected {} for the format {}, found {} alone", recipe.file_name, rule.ops,
           rule.format->of_caches ? "caches" : "linear ops", rule.format->name,
           rule.format->of_caches ? "linear ops" : "caches");
  }
  return formats;
}

Recipe recipe_of(const std::string& name, const std::map<std::string, std::string>& formats,
                 std::span<const std::string> op_names) {
  Recipe recipe{.name = name, .file_name = {}, .rules = {}};
  for (const std::string& op : op_names)
    if (const auto format = formats.find(op); format != formats.end())
      recipe.rules.push_back({.ops = op, .format = &quant::find_format(format->second)});
  if (recipe.rules.empty()) recipe.rules.push_back({.ops = "*", .format = nullptr});
  // A name may be a pattern for others.
  const std::vector<const quant::Format*> read_back = formats_of(recipe, op_names);
  for (size_t op = 0; op < op_names.size(); ++op) {
    const auto format = formats.find(op_names[op]);
    const std::string_view expected = format == formats.end() ? kFloat : std::string_view(format->second);
    const std::string_view found = read_back[op] == nullptr ? kFloat : read_back[op]->name;
    if (found != expected)
      fail("recipe {}: expected names of ops that are no patterns, found \"{}\"", name, op_names[op]);
  }
  return recipe;
}

std::string to_text(const Recipe& recipe) {
  std::string text = fmt::format("{{\"name\": {}, \"rules\": [", io::Json(recipe.name).dump());
  for (size_t i = 0; i < recipe.rules.size(); ++i) {
    const Rule& rule = recipe.rules[i];
    text += fmt::format("{}\n  {{\"ops\": {}, \"format\": \"{}\"}}", i == 0 ? "" : ",",
                        io::Json(rule.ops).dump(), rule.format == nullptr ? kFloat : rule.format->name);
  }
  return text + "\n]}\n";
}

}  // namespace qsweep::recipe
