// layer_config of AutoRound. All keys are written for all ops: what is missing is taken from the scheme.
#include "stacks/files.h"
#include "stacks/spelling.h"

namespace qsweep::stacks {
namespace {

using io::Json;
using quant::Granularity;

constexpr int kUnquantizedBits = 16;

// Of elements that share a scale; -1 is a row, 0 the tensor.
int64_t group_size(const quant::Scheme& scheme) {
  if (scheme.granularity == Granularity::per_group) return scheme.group;
  return scheme.granularity == Granularity::per_row ? -1 : 0;
}

std::string data_type(const quant::Scheme& scheme) {
  if (scheme.rule == quant::ScaleRule::two_level) return "nv_fp";
  if (scheme.rule == quant::ScaleRule::power_of_two) return "mx_fp";
  return facts(scheme.codec).grid == kernels::Grid::integers ? "int" : "fp";
}

// Keys of weights, or with the prefix act_ of inputs.
Json keys_of(const quant::Scheme& scheme, const std::string& prefix, const std::string& type) {
  const bool quantized = scheme.codec != quant::Codec::none;
  return {{prefix + "bits", quantized ? facts(scheme.codec).bits : kUnquantizedBits},
          {prefix + "group_size", quantized ? group_size(scheme) : -1},
          {prefix + "sym", true},
          {prefix + "data_type", quantized ? type : "fp"}};
}

}  // namespace

io::Json auto_round_entry(const quant::Format* chosen) {
  constexpr quant::Format kFloat{};
  const quant::Format& format = chosen == nullptr ? kFloat : *chosen;
  const quant::Scheme& inputs = format.activations;
  const bool two_level = inputs.rule == quant::ScaleRule::two_level;
  Json config = keys_of(format.weights, "", data_type(format.weights));
  config.update(keys_of(inputs, "act_", two_level ? "nv_fp4_with_static_gs" : data_type(inputs)));
  // The scales of blocks are found as they come even where that of the tensor is calibrated.
  config["act_dynamic"] = !inputs.calibrated || two_level;
  return config;
}

std::vector<File> write_auto_round(const Assignment& choice) {
  Json layers = Json::object();
  for (size_t op = 0; op < choice.size(); ++op)
    if (choice.is_module(op)) layers[choice.module(op)] = auto_round_entry(choice.formats[op]);
  return {{"layer_config.json", json_text(layers)}};
}

}  // namespace qsweep::stacks
