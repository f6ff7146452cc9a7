// Arbitrary bytes as another tool's recipe, of each kind: an Error, or formats that the kind has, which are
// written and read back as they are.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "stacks/import.h"
#include "stacks/table.h"
#include "stacks/yaml.h"

namespace {

using namespace qsweep;
using Formats = std::vector<const quant::Format*>;

const stacks::Model& model() {
  static const stacks::Model small{
      "qwen2_5_vl",
      false,
      {{"visual.patch_embed.proj", "vision", {}, "proj", 1176, 32, 37632, {}},
       {"visual.blocks.0.attn.qkv", "vision", 0, "qkv", 32, 96, 3072, {}},
       {"model.layers.0.self_attn.q_proj", "language", 0, "q_proj", 128, 128, 16384, "model.layers.0.qkv"},
       {"model.layers.0.self_attn.k_proj", "language", 0, "k_proj", 128, 64, 8192, "model.layers.0.qkv"},
       {"model.layers.11.mlp.down_proj", "language", 11, "down_proj", 220, 128, 28160, {}},
       {"lm_head", "language", {}, "lm_head", 128, 64, 8192, {}}}};
  return small;
}

io::Json parsed(const std::string& text) {
  try {
    return io::parse_json(text, "fuzz");
  } catch (const Error&) {
    return stacks::parse_yaml(text, "fuzz");
  }
}

void check_formats(stacks::Kind kind, const Formats& formats) {
  const auto is_of_kind = [&](const quant::Format* format) {
    return format == nullptr || stacks::expression_of(stacks::stack(kind), *format) != nullptr;
  };
  if (formats.size() != model().ops.size() || !std::ranges::all_of(formats, is_of_kind)) std::abort();
  if (!stacks::check(kind, model(), formats).refusals.empty()) return;
  const std::string written = stacks::stack(kind).write({model(), formats}).front().text;
  if (stacks::import_json(kind, model(), parsed(written), "written") != formats) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  io::Json json;
  try {
    json = parsed({reinterpret_cast<const char*>(data), size});
  } catch (const Error&) {
    return 0;
  }
  for (const stacks::Kind kind : stacks::imported_kinds()) {
    Formats formats;
    try {
      formats = stacks::import_json(kind, model(), json, "fuzz");
    } catch (const Error&) {
      continue;
    }
    check_formats(kind, formats);  // nothing that it finds is bad input
  }
  return 0;
}
