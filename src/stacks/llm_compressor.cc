// A recipe of llm-compressor, for oneshot. There is no `scheme` beside config_groups, which would raise.
#include "stacks/files.h"

namespace qsweep::stacks {

std::vector<File> write_llm_compressor(const Assignment& choice) {
  std::string text =
      "default_stage:\n  default_modifiers:\n    QuantizationModifier:\n      config_groups:\n";
  const io::Json groups = config_groups(choice, false);
  if (groups.empty()) text.replace(text.size() - 1, 1, " {}\n");
  for (const auto& [name, group] : groups.items()) {
    text += fmt::format("        {}:\n", name);
    for (const auto& [key, value] : group.items())
      text += fmt::format("          {}: {}\n", key, yaml_flow(value));
  }
  text += "      ignore: " + yaml_flow(choice.float_modules()) + "\n";
  if (!choice.caches.empty()) text += "      kv_cache_scheme: " + yaml_flow(cache_scheme(choice)) + "\n";
  return {{"recipe.yaml", text}};
}

}  // namespace qsweep::stacks
