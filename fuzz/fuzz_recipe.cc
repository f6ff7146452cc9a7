// Arbitrary bytes as a recipe: an Error, or a recipe whose ops are in formats of the table, or in float.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "recipe/recipe.h"

namespace {

using qsweep::quant::Format;

bool known(const Format* format) {
  const auto table = qsweep::quant::all_formats();
  return format == nullptr ||
         std::any_of(table.begin(), table.end(), [&](const Format& f) { return &f == format; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<std::string> ops{"visual.patch_embed.proj", "visual.blocks.0.attn.qkv",
                                     "model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj",
                                     "lm_head"};
  try {
    const auto recipe = qsweep::recipe::parse_recipe({reinterpret_cast<const char*>(data), size}, "fuzz");
    if (recipe.name.empty() || recipe.rules.empty()) std::abort();
    const auto formats = qsweep::recipe::formats_of(recipe, ops);
    if (formats.size() != ops.size() || !std::all_of(formats.begin(), formats.end(), known)) std::abort();
  } catch (const qsweep::Error&) {
  }
  return 0;
}
