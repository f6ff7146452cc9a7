// quantization_config as compressed-tensors reads it, which llm-compressor's recipes share.
#include <algorithm>

#include "stacks/spelling.h"
#include "stacks/table.h"

namespace qsweep::stacks {
namespace {

using io::Json;
using quant::Granularity;

std::string strategy(const quant::Scheme& scheme, bool of_weights) {
  switch (scheme.granularity) {
    case Granularity::per_tensor:
      return "tensor";
    case Granularity::per_row:
      return of_weights ? "channel" : "token";
    case Granularity::per_group:
      return scheme.rule == quant::ScaleRule::two_level ? "tensor_group" : "group";
    case Granularity::per_head:  // of caches, which are no config group
      break;
  }
  return {};
}

// Without the type of their scales, groups of 32 are no MX format for vLLM.
void add_groups(Json& args, const quant::Scheme& scheme) {
  if (scheme.granularity != Granularity::per_group) return;
  args["group_size"] = scheme.group;
  if (scheme.scale_bits != 8) return;
  const char* type = scheme.rule == quant::ScaleRule::two_level ? "torch.float8_e4m3fn" : "torch.uint8";
  args.update({{"scale_dtype", type}, {"zp_dtype", type}});
}

// dynamic: whether scales are found as the numbers come, "local" where those of blocks alone are.
Json arguments(const quant::Scheme& scheme, bool of_weights, const Json& dynamic) {
  const quant::CodecFacts& codec = facts(scheme.codec);
  Json args = {{"num_bits", codec.bits},
               {"type", codec.grid == kernels::Grid::integers ? "int" : "float"},
               {"strategy", strategy(scheme, of_weights)},
               {"symmetric", scheme.codec != quant::Codec::uint8},
               {"dynamic", dynamic}};
  add_groups(args, scheme);
  // The plain range of the samples: "minmax" would be a moving average.
  if (scheme.calibrated) args["observer"] = "static_minmax";
  return args;
}

Json inputs(const quant::Format& format) {
  const quant::Scheme& scheme = format.activations;
  if (!quantizes_activations(format)) return nullptr;
  if (!scheme.calibrated) return arguments(scheme, false, true);
  return arguments(scheme, false, scheme.granularity == Granularity::per_group ? Json("local") : Json(false));
}

Json config_group(const Assignment& choice, const quant::Format& format, bool packed) {
  std::vector<std::string> targets;
  for (size_t op = 0; op < choice.size(); ++op)
    if (choice.formats[op] == &format) targets.push_back(choice.module(op));
  Json group = {{"targets", targets}};
  group.update(compressed_tensors_scheme(format));
  if (packed) group["format"] = expression_of(stack(Kind::compressed_tensors), format)->word;
  return group;
}

}  // namespace

Json compressed_tensors_scheme(const quant::Format& format) {
  return {{"weights", arguments(format.weights, true, false)}, {"input_activations", inputs(format)}};
}

Json cache_scheme(const Assignment& choice) {
  return choice.caches.empty() ? Json() : inputs(*choice.caches.front().format);
}

Json config_groups(const Assignment& choice, bool packed) {
  std::vector<const quant::Format*> formats;
  for (const quant::Format* format : choice.formats)
    if (format != nullptr && std::ranges::find(formats, format) == formats.end()) formats.push_back(format);
  Json groups = Json::object();
  for (const quant::Format* format : formats)
    groups[fmt::format("group_{}", groups.size())] = config_group(choice, *format, packed);
  return groups;
}

std::vector<File> write_compressed_tensors(const Assignment& choice) {
  return {{"quantization_config.json", json_text({{"quant_method", "compressed-tensors"},
                                                  {"format", "mixed-precision"},
                                                  {"quantization_status", "compressed"},
                                                  {"config_groups", config_groups(choice, true)},
                                                  {"kv_cache_scheme", cache_scheme(choice)},
                                                  {"ignore", choice.float_modules()}})}};
}

}  // namespace qsweep::stacks
