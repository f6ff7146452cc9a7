// Which keys a JSON object may have. A key that nobody knows may change what the object means, so it is
// refused; one that changes nothing has a row that says so.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>

#include "io/json.h"

namespace qsweep::io {

enum class KeyUse {
  read,     // its reader checks the value
  ignored,  // no value changes the meaning
  only,     // other values than the one of the row are not implemented
};

struct KnownKey {
  std::string_view name;
  KeyUse use = KeyUse::read;
  std::string_view only = "";  // JSON; a key may have several rows
};

// Error where `object` has a key that is in no table, or with a value that its rows do not allow. A key whose
// value is null is one that is absent.
void check_keys(const ObjectReader& object, std::initializer_list<std::span<const KnownKey>> tables);

}  // namespace qsweep::io
