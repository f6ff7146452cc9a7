#include "stacks/import.h"

#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "base/error.h"
#include "scores/op_names.h"
#include "stacks/reading.h"
#include "stacks/yaml.h"

namespace qsweep::stacks {
namespace {

constexpr std::array kImported{Kind::modelopt, Kind::compressed_tensors, Kind::auto_round};

}  // namespace

void only_keys(const io::ObjectReader& object, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.json().items())
    if (!value.is_null() && std::ranges::find(known, key) == known.end())
      fail("{}: unknown key \"{}\"; known: {}", object.path(), key, fmt::join(known, ", "));
}

bool is_name_of(const Model& model, const scores::OpRecord& op, const std::string& name) {
  return name == scores::module_name(op.name, model.family) || scores::canonical_name(name) == op.name;
}

std::span<const Kind> imported_kinds() { return kImported; }

namespace {

std::vector<const quant::Format*> read(Kind kind, const Model& model, const io::Json& json,
                                       const std::string& path) {
  switch (kind) {
    case Kind::modelopt:
      return read_modelopt(model, json, path);
    case Kind::compressed_tensors:
      return read_compressed_tensors(model, json, path);
    case Kind::auto_round:
      return read_auto_round(model, json, path);
    default:
      fail("recipes of {} cannot be read; those of {} can", name(kind), names_of(kImported));
  }
}

}  // namespace

// Of linear ops alone: caches stay float.
std::vector<const quant::Format*> import_json(Kind kind, const Model& model, const io::Json& json,
                                              const std::string& path) {
  std::vector<const quant::Format*> formats(model.ops.size());
  const LinearPart linear = linear_part(model, formats);
  const std::vector<const quant::Format*> found = read(kind, linear.model, json, path);
  auto next = found.begin();
  for (size_t op = 0; op < formats.size(); ++op)
    if (!model.ops[op].cache) formats[op] = *next++;
  return formats;
}

std::vector<const quant::Format*> import_recipe(Kind kind, const Model& model, const std::string& path) {
  const bool yaml = kind == Kind::modelopt && !path.ends_with(".json");
  return import_json(kind, model, yaml ? read_yaml_file(path) : io::read_json_file(path), path);
}

}  // namespace qsweep::stacks
