// Recipes of other tools as a format per op, so that what they chose can be measured beside our own choice.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "io/json_fwd.h"
#include "stacks/stacks.h"

namespace qsweep::stacks {

// What can be read:
//   modelopt            a recipe (YAML or JSON): {metadata, quantize: {quant_cfg, algorithm}}, or what is
//   under
//                       `quantize` alone. Shell patterns over quantizers, the later entry wins.
//   compressed_tensors  config.json, or its quantization_config alone. Targets and `ignore` are full names,
//                       regular expressions after "re:" that fit from the begin, or classes such as Linear;
//                       names come before expressions and these before classes.
//   auto_round          layer_config.json: full names, or regular expressions that are searched anywhere.
// Names and patterns are compared with those of modules of transformers from 4.52 on, as the tools do; a full
// name may be of another layout.
std::span<const Kind> imported_kinds();

// The format of every op of the model, null for float. How weights are rounded is no part of a format. Error,
// with the file and the key, for what would change a format and is not known, for a name that no op has, and
// for a configuration that no format of ours is.
std::vector<const quant::Format*> import_recipe(Kind kind, const Model& model, const std::string& path);

// The same of what the file `path` holds.
std::vector<const quant::Format*> import_json(Kind kind, const Model& model, const io::Json& json,
                                              const std::string& path);

}  // namespace qsweep::stacks
