// quantization_config of compressed-tensors. A module takes the group of the first target that fits it: full
// names, then regular expressions, then classes, each in the order of the alphabet. What `ignore` fits is
// float.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "scores/op_names.h"
#include "stacks/reading.h"
#include "stacks/spelling.h"

namespace qsweep::stacks {
namespace {

using io::Json;
using io::ObjectReader;

constexpr std::string_view kPattern = "re:";

// Arguments as the writer spells them, defaults filled in; what says how ranges are found is left out.
Json normalized_arguments(const ObjectReader& args) {
  only_keys(args, {"num_bits", "type", "strategy", "group_size", "symmetric", "dynamic", "scale_dtype",
                   "zp_dtype", "observer", "observer_kwargs", "actorder", "block_structure"});
  for (const char* key : {"actorder", "block_structure"}) args.require(key, nullptr);
  const auto or_default = [&](const char* key, const Json& otherwise) {
    return args.has(key) ? args.at(key) : otherwise;
  };
  Json group = or_default("group_size", nullptr);
  const bool whole_rows = group == -1;
  Json strategy = or_default("strategy", group.is_null() ? "tensor" : whole_rows ? "channel" : "group");
  Json scale = or_default("scale_dtype", nullptr);
  if (strategy == "tensor_group" && scale.is_null()) scale = "torch.float8_e4m3fn";
  return {{"num_bits", or_default("num_bits", 8)},
          {"type", or_default("type", "int")},
          {"strategy", strategy},
          {"group_size", whole_rows ? Json() : group},
          {"symmetric", or_default("symmetric", true)},
          {"dynamic", or_default("dynamic", false)},
          {"scale_dtype", scale}};
}
Json normalized_part(const ObjectReader& group, const std::string& key) {
  return group.has(key) ? normalized_arguments(group.object(key)) : Json();
}
Json normalized_scheme(const ObjectReader& group) {
  return {{"weights", normalized_part(group, "weights")},
          {"inputs", normalized_part(group, "input_activations")}};
}

std::string class_of(const scores::OpRecord& op) {
  return place_of(op) == Place::patch_embedding ? "Conv3d" : "Linear";
}

// What names modules: a full name, a regular expression or a class.
class Target {
 public:
  Target(const std::string& text, const std::string& where) : text_(text) {
    if (text.starts_with(kPattern))
      pattern_ = with_context(where, [&] { return Pattern(text.substr(kPattern.size()), true); });
  }

  // 0 for a full name, 1 for an expression, 2 for a class; -1 where it does not fit.
  int rank(const Model& model, const scores::OpRecord& op) const {
    if (place_of(op) == Place::parameter) return -1;
    if (pattern_) return pattern_->fits(scores::module_name(op.name, model.family)) ? 1 : -1;
    if (is_name_of(model, op, text_)) return 0;
    return text_ == class_of(op) ? 2 : -1;
  }

 private:
  std::string text_;
  std::optional<Pattern> pattern_;
};

class Reader {
 public:
  Reader(const Model& model, const ObjectReader& config) : model_(model), path_(config.path()) {
    only_keys(config,
              {"quant_method", "format", "quantization_status", "config_groups", "kv_cache_scheme", "ignore",
               "global_compression_ratio", "version", "sparsity_config", "transform_config"});
    config.require("quant_method", "compressed-tensors");
    config.require("kv_cache_scheme", nullptr);
    for (const char* key : {"sparsity_config", "transform_config"})
      if (config.has(key)) config.require(key, Json::object());
    if (config.has("ignore"))
      for (const std::string& text : strings(config, "ignore")) ignored_.emplace_back(text, path_);
    const ObjectReader groups = config.object("config_groups");
    for (const auto& [name, group] : groups.json().items()) read_group(groups.object(name));
  }

  Formats formats() const {
    Formats formats;
    for (const scores::OpRecord& op : model_.ops) formats.push_back(is_ignored(op) ? nullptr : format_of(op));
    for (const auto& [text, chosen] : targets_)
      if (!fits_any(chosen.target)) fail("{}: no op matches the target {}", path_, io::shortened(text));
    return formats;
  }

 private:
  struct Chosen {
    Target target;
    const quant::Format* format;
  };

  static std::vector<std::string> strings(const ObjectReader& object, const std::string& key) {
    const Json& list = object.at(key);
    std::vector<std::string> found;
    if (!list.is_array()) fail("{}: \"{}\": expected an array of strings", object.path(), key);
    for (const Json& item : list) {
      if (!item.is_string()) fail("{}: \"{}\": expected an array of strings", object.path(), key);
      found.push_back(item.get<std::string>());
    }
    return found;
  }

  void read_group(const ObjectReader& group) {
    only_keys(group, {"targets", "weights", "input_activations", "output_activations", "format"});
    group.require("output_activations", nullptr);
    const quant::Format& format =
        format_spelled(Kind::compressed_tensors, normalized_scheme(group), group.path(), [](const auto& one) {
          const Json scheme = compressed_tensors_scheme(one);
          return normalized_scheme(ObjectReader(scheme, "a format"));
        });
    // The later group has a target that two groups name.
    for (const std::string& text : strings(group, "targets"))
      targets_.insert_or_assign(text, Chosen{Target(text, group.path()), &format});
  }

  bool fits_any(const Target& target) const {
    return std::ranges::any_of(model_.ops, [&](const auto& op) { return target.rank(model_, op) >= 0; });
  }

  bool is_ignored(const scores::OpRecord& op) const {
    return std::ranges::any_of(ignored_, [&](const Target& target) { return target.rank(model_, op) >= 0; });
  }

  const quant::Format* format_of(const scores::OpRecord& op) const {
    const quant::Format* found = nullptr;
    int best = 3;
    for (const auto& [text, chosen] : targets_) {
      const int rank = chosen.target.rank(model_, op);
      if (rank < 0 || rank >= best) continue;
      best = rank;
      found = chosen.format;
    }
    return found;
  }

  const Model& model_;
  std::string path_;
  std::vector<Target> ignored_;
  std::map<std::string, Chosen> targets_;  // in the order of the alphabet
};

}  // namespace

Formats read_compressed_tensors(const Model& model, const Json& json, const std::string& path) {
  const ObjectReader root(json, path);
  return Reader(model, root.has("quantization_config") ? root.object("quantization_config") : root).formats();
}

}  // namespace qsweep::stacks
