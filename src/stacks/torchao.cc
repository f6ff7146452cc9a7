// FqnToConfig of torchao, as config_from_dict reads it. The names of its classes come with their version.
#include "stacks/table.h"

namespace qsweep::stacks {
namespace {

using io::Json;

Json tagged(std::string_view type, int version, const Json& data) {
  return {{"_type", type}, {"_version", version}, {"_data", data}};
}
Json dtype(const char* name) { return {{"_type", "torch.dtype"}, {"_data", name}}; }

Json settings(const quant::Format& format) {
  const quant::Scheme& weights = format.weights;
  if (weights.codec == quant::Codec::e4m3) {
    const Json row = tagged("PerRow", 1, {{"dim", -1}});
    return {{"activation_dtype", dtype("float8_e4m3fn")},
            {"weight_dtype", dtype("float8_e4m3fn")},
            {"granularity", Json::array({row, row})}};
  }
  if (weights.codec == quant::Codec::int4)
    return {{"weight_dtype", dtype("int4")},
            {"granularity", tagged("PerGroup", 1, {{"group_size", weights.group}})}};
  return Json::object();
}

Json module_entry(const quant::Format* format) {
  if (format == nullptr) return nullptr;
  return tagged(expression_of(stack(Kind::torchao), *format)->word, 2, settings(*format));
}

}  // namespace

std::vector<File> write_torchao(const Assignment& choice) {
  Json modules = Json::object();
  for (size_t op = 0; op < choice.size(); ++op)
    if (choice.is_module(op)) modules[choice.module(op)] = module_entry(choice.formats[op]);
  return {{"torchao_config.json", json_text(tagged("FqnToConfig", 1, {{"fqn_to_config", modules}}))}};
}

}  // namespace qsweep::stacks
