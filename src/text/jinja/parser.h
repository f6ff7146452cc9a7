// Parses a template. What chat templates do not use (inheritance, includes, floating point, ...) is an Error.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"

namespace qsweep::text::jinja {

Block parse_template(std::string_view source);

}  // namespace qsweep::text::jinja
