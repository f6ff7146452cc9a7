// layer_config of AutoRound. A key that is no full name is searched as a regular expression; full names win,
// of expressions the last. What is not named takes the scheme's format, which the file does not say, but for
// the vision tower, the projector and the head, which AutoRound leaves alone.
#include <algorithm>

#include "base/error.h"
#include "scores/op_names.h"
#include "stacks/reading.h"
#include "stacks/spelling.h"

namespace qsweep::stacks {
namespace {

using io::Json;
using io::ObjectReader;

constexpr int64_t kFloatFrom = 16;

int64_t bits_at(const ObjectReader& entry, const char* key, int64_t otherwise) {
  return entry.has(key) ? entry.integer_in(key, 1, 32) : otherwise;
}

// All keys, with AutoRound's defaults; float parts alike whatever else they say.
Json normalized_entry(const ObjectReader& entry) {
  only_keys(entry, {"bits", "group_size", "sym", "data_type", "act_bits", "act_group_size", "act_sym",
                    "act_data_type", "act_dynamic"});
  Json all = auto_round_entry(nullptr);
  const auto take = [&](const std::string& key, const Json& otherwise) {
    all[key] = entry.has(key) ? entry.at(key) : otherwise;
  };
  if (bits_at(entry, "bits", kFloatFrom) < kFloatFrom) {
    for (const char* key : {"bits", "group_size"}) all[key] = entry.at(key);
    take("sym", true);
    take("data_type", "int");
  }
  if (bits_at(entry, "act_bits", kFloatFrom) < kFloatFrom) {
    for (const char* key : {"act_bits", "act_group_size"}) all[key] = entry.at(key);
    take("act_sym", true);
    take("act_data_type", "int");
    take("act_dynamic", true);
  }
  return all;
}

const quant::Format* format_at(const ObjectReader& entry) {
  const Json all = normalized_entry(entry);
  if (all == auto_round_entry(nullptr)) return nullptr;
  return &format_spelled(Kind::auto_round, all, entry.path(),
                         [](const quant::Format& format) { return auto_round_entry(&format); });
}

bool is_full_name(const Model& model, const std::string& key) {
  return std::ranges::any_of(model.ops, [&](const auto& op) { return is_name_of(model, op, key); });
}

Pattern pattern_of(const std::string& text, const std::string& path) {
  return with_context(path, [&] { return Pattern(text, false); });
}

}  // namespace

Formats read_auto_round(const Model& model, const Json& json, const std::string& path) {
  const ObjectReader root(json, path);
  Formats formats(model.ops.size());
  std::vector<bool> named(formats.size()), in_full(formats.size());
  for (const auto& [key, value] : root.json().items()) {
    const quant::Format* const format = format_at(root.object(key));
    const bool full = is_full_name(model, key);
    const Pattern pattern = pattern_of(full ? "" : key, path);
    bool fits_any = false;
    for (size_t op = 0; op < formats.size(); ++op) {
      if (!(full ? is_name_of(model, model.ops[op], key)
                 : pattern.fits(scores::module_name(model.ops[op].name, model.family))))
        continue;
      fits_any = true;
      if (in_full[op] && !full) continue;
      formats[op] = format;
      named[op] = true;
      in_full[op] = full;
    }
    if (!fits_any) fail("{}: no op matches {}", path, io::shortened(Json(key)));
  }
  for (size_t op = 0; op < formats.size(); ++op)
    if (!named[op] && model.ops[op].tower == "language" && place_of(model.ops[op]) != Place::head)
      fail("{}: {} is not named, and takes the format of a scheme that the file does not say", path,
           model.ops[op].name);
  return formats;
}

}  // namespace qsweep::stacks
