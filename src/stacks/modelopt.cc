// A recipe of ModelOpt. quant_cfg is applied in order and later entries win: all quantizers are turned off,
// then those of each quantized op are set by their full names.
#include "stacks/files.h"
#include "stacks/spelling.h"

namespace qsweep::stacks {
namespace {

using io::Json;
using quant::Granularity;

Json num_bits(const quant::Scheme& scheme) {
  switch (scheme.codec) {
    case quant::Codec::e4m3:
      return "e4m3";
    case quant::Codec::e3m2:
      return "e3m2";
    case quant::Codec::e2m1:
      return "e2m1";
    default:
      return facts(scheme.codec).bits;
  }
}

// The key -1 is the last dimension: a row.
Json blocks(const quant::Scheme& scheme) {
  if (scheme.rule == quant::ScaleRule::two_level)
    return {{"-1", scheme.group}, {"type", "dynamic"}, {"scale_bits", "e4m3"}};
  if (scheme.rule == quant::ScaleRule::power_of_two)
    return {{"-1", scheme.group}, {"type", "dynamic"}, {"scale_bits", "e8m0"}};
  return {{"-1", scheme.group}, {"type", "static"}};
}

Json weight_config(const quant::Scheme& scheme) {
  Json config = {{"num_bits", num_bits(scheme)}};
  if (scheme.granularity == Granularity::per_group)
    config["block_sizes"] = blocks(scheme);
  else
    config["axis"] = scheme.granularity == Granularity::per_row ? Json(0) : Json();
  return config;
}

Json input_config(const quant::Scheme& scheme) {
  Json config = {{"num_bits", num_bits(scheme)}};
  if (scheme.granularity == Granularity::per_group)
    config["block_sizes"] = blocks(scheme);
  else if (scheme.granularity == Granularity::per_row)  // a block as long as the row, measured as it comes
    config.update({{"type", "dynamic"}, {"block_sizes", {{"-1", nullptr}}}});
  else
    config["axis"] = nullptr;
  return config;
}

std::string quantizer_entry(const std::string& quantizer, const Json& config) {
  return "    - " + yaml_flow({{"quantizer_name", quantizer}, {"cfg", config}}) + "\n";
}

}  // namespace

io::Json modelopt_quantizers(const quant::Format& format) {
  return {{"weights", weight_config(format.weights)},
          {"inputs", quantizes_activations(format) ? input_config(format.activations) : Json()}};
}

std::vector<File> write_modelopt(const Assignment& choice) {
  std::string text =
      "metadata:\n  recipe_type: ptq\n  description: chosen by qsweep\nquantize:\n  algorithm: max\n  "
      "quant_cfg:\n"
      "    - {\"quantizer_name\": \"*\", \"enable\": false}\n";
  for (size_t op = 0; op < choice.size(); ++op) {
    if (choice.formats[op] == nullptr) continue;
    const Json quantizers = modelopt_quantizers(*choice.formats[op]);
    text += quantizer_entry(choice.module(op) + ".weight_quantizer", quantizers["weights"]);
    if (!quantizers["inputs"].is_null())
      text += quantizer_entry(choice.module(op) + ".input_quantizer", quantizers["inputs"]);
  }
  for (const auto& [module, format] : choice.caches)
    for (const char* quantizer : {".k_bmm_quantizer", ".v_bmm_quantizer"})
      text += quantizer_entry(module + quantizer, input_config(format->activations));
  return {{"modelopt_recipe.yaml", text}};
}

}  // namespace qsweep::stacks
