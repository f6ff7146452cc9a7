#include "io/keys.h"

#include <fmt/ranges.h>

namespace qsweep::io {
namespace {

void check_key(const ObjectReader& object, const std::string& key, const Json& value,
               std::initializer_list<std::span<const KnownKey>> tables) {
  std::vector<std::string_view> supported;
  for (const std::span<const KnownKey> table : tables) {
    for (const KnownKey& row : table) {
      if (row.name != key) continue;
      if (row.use != KeyUse::only || value == Json::parse(row.only)) return;
      supported.push_back(row.only);
    }
  }
  if (!supported.empty())
    fail("{}: \"{}\": {} is not supported; supported: {}", object.path(), key, shortened(value),
         fmt::join(supported, ", "));
  fail("{}: {}: the key is not known and may change the meaning; found the value {}", object.path(),
       shortened(Json(key)), shortened(value));
}

}  // namespace

void check_keys(const ObjectReader& object, std::initializer_list<std::span<const KnownKey>> tables) {
  for (const auto& [key, value] : object.json().items())
    if (!value.is_null()) check_key(object, key, value, tables);
}

}  // namespace qsweep::io
