// A recipe of ModelOpt. Entries are applied in order to all quantizers that their pattern fits; a `cfg`
// replaces all that was set before. Quantizers that no entry names keep ModelOpt's default, int8 per tensor.
#include <algorithm>

#include <fnmatch.h>

#include "base/error.h"
#include "scores/op_names.h"
#include "stacks/reading.h"
#include "stacks/spelling.h"

namespace qsweep::stacks {
namespace {

using io::Json;
using io::ObjectReader;

// "e4m3" of [4, 3] and of (4, 3), which YAML has as a text.
Json number_format(const Json& value) {
  if (value.is_array() && value.size() == 2) return fmt::format("e{}m{}", value[0].dump(), value[1].dump());
  if (!value.is_string()) return value;
  const std::string text = value.get<std::string>();
  constexpr std::string_view kPair = "(e, m)";
  if (text.size() != kPair.size() || text[0] != '(' || text.substr(2, 2) != ", ") return value;
  return fmt::format("e{}m{}", text[1], text[4]);
}

Json normalized_blocks(const ObjectReader& blocks) {
  only_keys(blocks, {"-1", "type", "scale_bits"});
  const auto at = [&](const char* key) { return blocks.has(key) ? blocks.at(key) : Json(); };
  return {{"-1", at("-1")},
          {"type", at("type").is_null() ? Json("static") : at("type")},
          {"scale_bits", number_format(at("scale_bits"))}};
}

// A quantizer's attributes as the writer spells them, with ModelOpt's defaults.
Json normalized_attributes(const ObjectReader& config) {
  only_keys(config,
            {"num_bits", "axis", "type", "block_sizes", "enable", "fake_quant", "unsigned", "narrow_range"});
  config.require("fake_quant", true);
  config.require("unsigned", false);
  config.require("narrow_range", false);
  const auto at = [&](const char* key, const Json& otherwise) {
    return config.has(key) ? config.at(key) : otherwise;
  };
  return {{"num_bits", number_format(at("num_bits", 8))},
          {"axis", at("axis", nullptr)},
          {"type", at("type", "static")},
          {"blocks", config.has("block_sizes") ? normalized_blocks(config.object("block_sizes")) : Json()}};
}

// Of one quantizer; null is off.
struct Quantizer {
  Json attributes, last_attributes;
};
Quantizer untouched() {
  const Json attributes = normalized_attributes(ObjectReader(Json::object(), "default"));
  return {attributes, attributes};
}

struct Entry {
  std::string pattern, parent_class;
  bool enable = true;
  Json attributes;  // null: as they were

  bool fits(const std::string& module, const char* quantizer, const scores::OpRecord& op) const {
    const char* own_class = place_of(op) == Place::patch_embedding ? "Conv" : "Linear";
    if (!parent_class.empty() && parent_class.find(own_class) == std::string::npos) return false;
    return fnmatch(pattern.c_str(), (module + quantizer).c_str(), FNM_NOESCAPE) == 0;
  }
  void apply(Quantizer& to) const {
    if (!attributes.is_null()) to.last_attributes = attributes;
    to.attributes = enable ? to.last_attributes : Json();
  }
};

Entry read_entry(const std::string& pattern, const ObjectReader& object, const Json& config,
                 const std::string& where) {
  Entry entry{.pattern = pattern};
  if (object.has("parent_class")) entry.parent_class = object.string("parent_class");
  if (object.has("enable")) entry.enable = object.boolean("enable");
  if (config.is_null() || (config.is_object() && config.empty())) return entry;
  const ObjectReader attributes(config, where);
  if (attributes.has("enable")) entry.enable = entry.enable && attributes.boolean("enable");
  entry.attributes = normalized_attributes(attributes);
  return entry;
}

// Lists of entries, and the maps of older versions, whose values are the attributes themselves.
std::vector<Entry> read_entries(const ObjectReader& config) {
  const Json& all = config.at("quant_cfg");
  std::vector<Entry> entries;
  if (all.is_object()) {
    for (const auto& [pattern, attributes] : all.items()) {
      const std::string where = fmt::format("{}: quant_cfg: {}", config.path(), pattern);
      const bool otherwise = pattern == "default";  // of what no pattern fits
      entries.insert(
          otherwise ? entries.begin() : entries.end(),
          read_entry(otherwise ? "*" : pattern, ObjectReader(attributes, where), attributes, where));
    }
    return entries;
  }
  if (!all.is_array()) fail("{}: \"quant_cfg\": expected an array or a map", config.path());
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string where = fmt::format("{}: quant_cfg[{}]", config.path(), i);
    const ObjectReader object(all[i], where);
    only_keys(object, {"quantizer_name", "parent_class", "enable", "cfg"});
    entries.push_back(read_entry(object.string("quantizer_name"), object,
                                 object.has("cfg") ? object.at("cfg") : Json(), where + ": cfg"));
  }
  return entries;
}

class Quantizers {
 public:
  explicit Quantizers(const Model& model)
      : model_(model), weights_(model.ops.size(), untouched()), inputs_(weights_) {}

  void apply(const Entry& entry, const std::string& path) {
    bool fits_any = false;
    for (size_t op = 0; op < model_.ops.size(); ++op) {
      const std::string module = scores::module_name(model_.ops[op].name, model_.family);
      const auto fits = [&](const char* quantizer) { return entry.fits(module, quantizer, model_.ops[op]); };
      if (fits(".weight_quantizer")) entry.apply(weights_[op]);
      if (fits(".input_quantizer")) entry.apply(inputs_[op]);
      if (entry.enable && fits(".output_quantizer") && !fits(".input_quantizer"))
        fail("{}: {} quantizes outputs, which no format here does", path, io::shortened(Json(entry.pattern)));
      fits_any = fits_any || fits(".weight_quantizer") || fits(".input_quantizer");
    }
    if (entry.enable && !fits_any)
      fail("{}: {} fits no quantizer of an op", path, io::shortened(Json(entry.pattern)));
  }

  Formats formats(const std::string& path) const {
    Formats formats;
    for (size_t op = 0; op < model_.ops.size(); ++op) {
      const Json both = {{"weights", weights_[op].attributes}, {"inputs", inputs_[op].attributes}};
      const bool is_float = both["weights"].is_null() && both["inputs"].is_null();
      formats.push_back(
          is_float || place_of(model_.ops[op]) == Place::parameter
              ? nullptr
              : &format_spelled(Kind::modelopt, both, path + ": " + model_.ops[op].name, spelled));
    }
    return formats;
  }

 private:
  static Json spelled(const quant::Format& format) {
    const Json quantizers = modelopt_quantizers(format);
    const ObjectReader reader(quantizers, "a format");
    const auto part = [&](const char* key) {
      return reader.has(key) ? normalized_attributes(reader.object(key)) : Json();
    };
    return {{"weights", part("weights")}, {"inputs", part("inputs")}};
  }

  const Model& model_;
  std::vector<Quantizer> weights_, inputs_;
};

}  // namespace

Formats read_modelopt(const Model& model, const Json& json, const std::string& path) {
  const ObjectReader root(json, path);
  const bool whole = root.has("quantize");
  if (whole) only_keys(root, {"metadata", "quantize"});
  const ObjectReader config = whole ? root.object("quantize") : root;
  only_keys(config, {"quant_cfg", "algorithm"});
  Quantizers quantizers(model);
  for (const Entry& entry : read_entries(config)) quantizers.apply(entry, config.path());
  return quantizers.formats(path);
}

}  // namespace qsweep::stacks
