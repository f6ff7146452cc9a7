#include "scores/op_names.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fnmatch.h>

#include "base/error.h"

namespace qsweep::scores {
namespace {

constexpr std::array<std::string_view, 3> kSuffixes{".module", ".quant_recipe", ".weight"};

// The longest that fits comes first.
constexpr std::pair<std::string_view, std::string_view> kPrefixes[] = {
    {"model.language_model.model.", "model."},
    {"model.language_model.lm_head", "lm_head"},
    {"model.language_model.", "model."},
    {"language_model.model.", "model."},
    {"language_model.lm_head", "lm_head"},
    {"language_model.", "model."},
    {"model.visual.", "visual."},
    {"model.vision_tower.vision_model.", "vision_tower."},
    {"vision_tower.vision_model.", "vision_tower."},
    {"model.vision_tower.", "vision_tower."},
    {"model.multi_modal_projector.", "multi_modal_projector."},
    {"model.lm_head", "lm_head"},
};

// Where the modules of a family stand in memory. A model of text alone has the canonical names.
struct Nesting {
  std::string_view family, canonical, module;
};
constexpr std::string_view kTextFamilies[] = {"llama", "mistral", "qwen2", "qwen3", "gemma3_text"};
constexpr Nesting kNestings[] = {
    {"qwen2_vl", "visual.", "model.visual."},
    {"qwen2_5_vl", "visual.", "model.visual."},
    {"qwen3_vl", "visual.", "model.visual."},
    {"gemma3", "vision_tower.", "model.vision_tower."},
    {"gemma3", "multi_modal_projector.", "model.multi_modal_projector."},
    {"mistral3", "vision_tower.", "model.vision_tower."},
    {"mistral3", "multi_modal_projector.", "model.multi_modal_projector."},
};

struct Fused {
  std::string_view name;
  std::vector<std::string_view> members;
};
const Fused kFused[] = {{".qkv_proj", {".q_proj", ".k_proj", ".v_proj"}},
                        {".gate_up_proj", {".gate_proj", ".up_proj"}}};

std::string_view without_suffixes(std::string_view name) {
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view suffix : kSuffixes) {
      if (name.size() <= suffix.size() || !name.ends_with(suffix)) continue;
      name.remove_suffix(suffix.size());
      found = true;
    }
  }
  return name;
}

// How others write an op of ours, alone or fused; patterns over weights name it without the suffixes.
std::vector<std::string> other_names(const std::string& ours) {
  std::vector<std::string> names{ours};
  for (const auto& [fused, members] : kFused)
    for (const std::string_view member : members)
      if (ours.ends_with(member))
        names.push_back(ours.substr(0, ours.size() - member.size()) + std::string(fused));
  const size_t flat = names.size();
  for (const auto& [theirs, prefix] : kPrefixes)
    for (size_t i = 0; i < flat; ++i)
      if (names[i].starts_with(prefix)) names.push_back(std::string(theirs) + names[i].substr(prefix.size()));
  return names;
}

bool matches(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

}  // namespace

std::string canonical_name(std::string_view name) {
  name = without_suffixes(name);
  for (const auto& [theirs, ours] : kPrefixes)
    if (name.starts_with(theirs)) return std::string(ours) + std::string(name.substr(theirs.size()));
  return std::string(name);
}

std::vector<std::string> names_of(std::span<const OpRecord> ops) {
  std::vector<std::string> names;
  for (const OpRecord& op : ops) names.push_back(op.name);
  return names;
}

bool names_cache(std::string_view op) { return op.ends_with(".self_attn.kv"); }

std::string module_name(std::string_view canonical, std::string_view family) {
  const auto moved = [&](std::string_view from, std::string_view to) {
    return std::string(to) + std::string(canonical.substr(from.size()));
  };
  if (std::ranges::find(kTextFamilies, family) != std::end(kTextFamilies)) return std::string(canonical);
  if (std::ranges::find(kNestings, family, &Nesting::family) == std::end(kNestings))
    fail("the modules of the family \"{}\" are not known", family);
  for (const Nesting& row : kNestings)
    if (row.family == family && canonical.starts_with(row.canonical)) return moved(row.canonical, row.module);
  return canonical.starts_with("model.") ? moved("model.", "model.language_model.") : std::string(canonical);
}

std::vector<std::string> fused_members(const std::string& canonical) {
  for (const auto& [name, roles] : kFused) {
    if (!canonical.ends_with(name)) continue;
    std::vector<std::string> members;
    for (const std::string_view role : roles)
      members.push_back(canonical.substr(0, canonical.size() - name.size()) + std::string(role));
    return members;
  }
  return {};
}

std::vector<bool> matching_ops(const std::string& pattern, std::span<const std::string> names) {
  std::vector<bool> matching;
  for (const std::string& name : names) matching.push_back(matches(pattern, name));
  if (std::ranges::find(matching, true) != matching.end()) return matching;
  const std::string plain(without_suffixes(pattern));
  for (size_t op = 0; op < names.size(); ++op)
    matching[op] = std::ranges::any_of(other_names(names[op]),
                                       [&](const std::string& name) { return matches(plain, name); });
  return matching;
}

}  // namespace qsweep::scores
