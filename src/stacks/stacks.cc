#include "stacks/stacks.h"

#include <algorithm>
#include <filesystem>

#include <fmt/ranges.h>

#include "base/error.h"
#include "io/atomic_file.h"
#include "scores/op_names.h"
#include "stacks/table.h"

namespace qsweep::stacks {
namespace {

// All of the first, and how many more.
std::string some_of(const std::vector<std::string>& sentences) {
  constexpr size_t kShown = 4;
  const std::vector<std::string> shown(
      sentences.begin(), sentences.begin() + static_cast<int64_t>(std::min(kShown, sentences.size())));
  const std::string text = fmt::format("{}", fmt::join(shown, "; "));
  return sentences.size() == shown.size()
             ? text
             : fmt::format("{}; and {} more", text, sentences.size() - shown.size());
}

// Names that every tool reads as one name: the dots are its, and no sign of a pattern is in them.
void check_names(const Model& model) {
  const auto is_plain = [](char c) {
    return c == '.' || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  for (const scores::OpRecord& op : model.ops)
    if (op.name.empty() || !std::ranges::all_of(op.name, is_plain))
      fail("the op's name {} has other signs than letters, digits, \".\" and \"_\"", io::shortened(op.name));
}

std::vector<CacheFormat> cache_formats(const Model& model, std::span<const quant::Format* const> formats) {
  std::vector<CacheFormat> caches;
  for (size_t op = 0; op < formats.size(); ++op) {
    if (formats[op] == nullptr || !model.ops[op].cache) continue;
    const std::string name = scores::module_name(model.ops[op].name, model.family);
    caches.push_back({name.substr(0, name.rfind('.')), formats[op]});
  }
  return caches;
}

}  // namespace

std::string names_of(std::span<const Kind> kinds) {
  std::vector<std::string_view> names;
  for (const Kind kind : kinds) names.push_back(name(kind));
  return fmt::format("{}", fmt::join(names, ", "));
}

Kind parse_kind(std::string_view text) {
  const auto found = std::ranges::find(all_kinds(), text, name);
  if (found == all_kinds().end())
    fail("unknown kind of export \"{}\"; known: {}", text, names_of(all_kinds()));
  return *found;
}

Model model_of(const scores::Run& run) { return {run.model.family, run.model.tied_embeddings, run.ops}; }

std::string Assignment::module(size_t op) const {
  return scores::module_name(model.ops[op].name, model.family);
}

std::vector<std::string> Assignment::float_modules() const {
  std::vector<std::string> modules;
  for (size_t op = 0; op < size(); ++op)
    if (formats[op] == nullptr && is_module(op)) modules.push_back(module(op));
  return modules;
}

LinearPart linear_part(const Model& model, std::span<const quant::Format* const> formats) {
  LinearPart part{.model = {model.family, model.tied_embeddings, {}}, .formats = {}};
  for (size_t op = 0; op < model.ops.size(); ++op) {
    if (model.ops[op].cache) continue;
    part.model.ops.push_back(model.ops[op]);
    part.formats.push_back(formats[op]);
  }
  return part;
}

std::string recipe_text(const Model& model, const Choice& choice) {
  io::Json rules = io::Json::array();
  for (size_t op = 0; op < model.ops.size(); ++op)
    rules.push_back({{"ops", model.ops[op].name},
                     {"format", choice.formats[op] == nullptr ? "float" : choice.formats[op]->name}});
  return json_text({{"name", choice.name}, {"rules", rules}});
}

std::vector<std::string> export_recipe(Kind kind, const Model& model, const Choice& choice,
                                       const std::string& folder) {
  std::error_code ignored;
  if (std::filesystem::exists(folder, ignored))
    fail("{}: expected a new folder, found one that exists", folder);
  check_names(model);
  const Findings found = check(kind, model, choice.formats);
  if (!found.refusals.empty()) fail("cannot export for {}: {}", name(kind), some_of(found.refusals));
  io::AtomicFolder target(folder);
  const auto write = [&](const File& file) {
    io::write_file_atomically(target.path() + "/" + file.name, file.text);
  };
  write({"recipe.json", recipe_text(model, choice)});
  const LinearPart linear = linear_part(model, choice.formats);
  for (const File& file :
       stack(kind).write({linear.model, linear.formats, cache_formats(model, choice.formats)}))
    write(file);
  write({"README.md", readme(kind, model, choice, found.warnings)});
  target.commit();
  return found.warnings;
}

}  // namespace qsweep::stacks
