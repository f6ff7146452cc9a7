// YAML as the JSON that it means: plain scalars are null, booleans and numbers as in YAML 1.2's core schema,
// keys are strings. Error for what JSON has not (tags, keys that are no scalars, two equal keys) and for
// documents that aliases blow up.
#pragma once

#include <string>

#include "io/json.h"

namespace qsweep::stacks {

io::Json parse_yaml(const std::string& text, const std::string& where);
io::Json read_yaml_file(const std::string& path);

}  // namespace qsweep::stacks
