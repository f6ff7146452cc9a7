#include <algorithm>

#include "stacks/files.h"

namespace qsweep::stacks {
namespace {

// JSON has no numbers as keys.
bool is_number(const std::string& key) {
  const size_t sign = key.starts_with('-') ? 1 : 0;
  return key.size() > sign && std::all_of(key.begin() + static_cast<int64_t>(sign), key.end(),
                                          [](char c) { return c >= '0' && c <= '9'; });
}

std::string comma(const std::string& text) { return text.size() > 1 ? ", " : ""; }

}  // namespace

std::string json_text(const io::Json& json) { return json.dump(1) + "\n"; }

std::string yaml_flow(const io::Json& json) {
  if (json.is_array()) {
    std::string text = "[";
    for (const io::Json& item : json) text += comma(text) + yaml_flow(item);
    return text + "]";
  }
  if (!json.is_object()) return json.dump();
  std::string text = "{";
  for (const auto& [key, value] : json.items())
    text += comma(text) + (is_number(key) ? key : io::Json(key).dump()) + ": " + yaml_flow(value);
  return text + "}";
}

}  // namespace qsweep::stacks
