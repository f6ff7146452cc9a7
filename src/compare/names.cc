#include "compare/names.h"

#include <array>
#include <utility>

namespace qsweep::compare {
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
    {"model.lm_head", "lm_head"},
};

struct Fused {
  std::string_view name;
  std::vector<std::string> members;
};

}  // namespace

std::string canonical_name(std::string_view name) {
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view suffix : kSuffixes) {
      if (name.size() <= suffix.size() || !name.ends_with(suffix)) continue;
      name.remove_suffix(suffix.size());
      found = true;
    }
  }
  for (const auto& [theirs, ours] : kPrefixes)
    if (name.starts_with(theirs)) return std::string(ours) + std::string(name.substr(theirs.size()));
  return std::string(name);
}

std::vector<std::string> fused_members(const std::string& canonical) {
  static const Fused kFused[] = {{".qkv_proj", {".q_proj", ".k_proj", ".v_proj"}},
                                 {".gate_up_proj", {".gate_proj", ".up_proj"}}};
  for (const auto& [name, roles] : kFused) {
    if (!canonical.ends_with(name)) continue;
    std::vector<std::string> members;
    for (const std::string& role : roles)
      members.push_back(canonical.substr(0, canonical.size() - name.size()) + role);
    return members;
  }
  return {};
}

}  // namespace qsweep::compare
