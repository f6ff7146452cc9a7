// op_name_dict of Neural Compressor 2.x. Its keys are regular expressions that must fit a whole name; a
// module in a part that the tool cannot trace is named with ".module" behind.
#include "scores/op_names.h"
#include "stacks/files.h"

namespace qsweep::stacks {
namespace {

using io::Json;

const Json& float_entry() {
  static const Json entry = {{"weight", {{"dtype", {"fp32"}}}}, {"activation", {{"dtype", {"fp32"}}}}};
  return entry;
}

Json int8_part(const char* type, const char* granularity, const char* scheme) {
  return {{"dtype", {type}}, {"granularity", {granularity}}, {"scheme", {scheme}}, {"algorithm", {"minmax"}}};
}
const Json& int8_entry() {
  static const Json entry = {{"weight", int8_part("int8", "per_channel", "sym")},
                             {"activation", int8_part("uint8", "per_tensor", "asym")}};
  return entry;
}

std::string name_pattern(const std::string& module) {
  std::string escaped;
  for (const char c : module) escaped += c == '.' ? "\\." : std::string(1, c);
  return escaped + "(\\.module)?";
}

}  // namespace

std::vector<File> write_inc(const Assignment& choice) {
  Json entries = Json::object();
  for (size_t op = 0; op < choice.size(); ++op)
    if (choice.is_module(op))
      entries[name_pattern(choice.module(op))] = choice.formats[op] == nullptr ? float_entry() : int8_entry();
  // No op of ours, but the tool quantizes it unless it is told.
  entries[name_pattern(scores::module_name("model.embed_tokens", choice.model.family))] = float_entry();
  return {{"op_name_dict.json", json_text(entries)}};
}

}  // namespace qsweep::stacks
