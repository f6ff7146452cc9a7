// The name of JSON, for headers that only pass it on: the library's own header takes a second to compile.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace qsweep::io {

using Json = nlohmann::ordered_json;

class ObjectReader;

}  // namespace qsweep::io
