// Which format every op gets, as a file of rules.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quant/format.h"

namespace qsweep::recipe {

struct Rule {
  std::string ops;                        // shell pattern over op names, as scores::matching_ops takes it
  const quant::Format* format = nullptr;  // null: float
};

struct Recipe {
  std::string name;
  std::string file_name;
  std::vector<Rule> rules;  // later ones override
};

// Error for anything but {"name": ..., "rules": [{"ops": ..., "format": ...}, ...]} with a name, at least one
// rule and known formats.
Recipe read_recipe(const std::string& path);
// The same for the text of the file `path`.
Recipe parse_recipe(std::string_view text, const std::string& path);

// Per op; null is float. A rule's format goes to the linear ops that it matches, one of caches to caches.
// Error for a rule that matches none of the ops, or none of this kind.
std::vector<const quant::Format*> formats_of(const Recipe& recipe, std::span<const std::string> op_names);

// The recipe that gives every op its format: a rule for each that is quantized. `formats`: by op name.
Recipe recipe_of(const std::string& name, const std::map<std::string, std::string>& formats,
                 std::span<const std::string> op_names);
// The text of its file, which parse_recipe reads.
std::string to_text(const Recipe& recipe);

}  // namespace qsweep::recipe
