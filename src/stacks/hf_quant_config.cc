// hf_quant_config.json of a ModelOpt checkpoint, and quant_cfg.json, from which older versions of
// TensorRT-LLM read the layers of a mixture. exclude_modules are substrings for vLLM, so they are full names.
#include "stacks/table.h"

namespace qsweep::stacks {
namespace {

io::Json algorithm(const quant::Format& format) {
  io::Json layer = {{"quant_algo", expression_of(stack(Kind::hf_quant_config), format)->word}};
  if (format.weights.granularity == quant::Granularity::per_group) layer["group_size"] = format.weights.group;
  return layer;
}

// The one of all layers.
io::Json cache_algorithm(const Assignment& choice) {
  if (choice.caches.empty()) return nullptr;
  return expression_of(stack(Kind::hf_quant_config), *choice.caches.front().format)->word;
}

}  // namespace

std::vector<File> write_hf_quant_config(const Assignment& choice) {
  constexpr const char* kMixed = "MIXED_PRECISION";
  io::Json layers = io::Json::object();
  for (size_t op = 0; op < choice.size(); ++op)
    if (choice.formats[op] != nullptr) layers[choice.module(op)] = algorithm(*choice.formats[op]);
  const io::Json config = {{"producer", {{"name", "modelopt"}, {"version", "0.47.0"}}},
                           {"quantization",
                            {{"quant_algo", kMixed},
                             {"kv_cache_quant_algo", cache_algorithm(choice)},
                             {"exclude_modules", choice.float_modules()},
                             {"quantized_layers", layers}}}};
  return {{"hf_quant_config.json", json_text(config)},
          {"quant_cfg.json", json_text({{"quant_algo", kMixed},
                                        {"kv_cache_quant_algo", cache_algorithm(choice)},
                                        {"quantized_layers", layers}})}};
}

}  // namespace qsweep::stacks
