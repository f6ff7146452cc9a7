// Renders a parsed template.
#pragma once

#include <string>

#include "text/jinja/ast.h"
#include "text/jinja/values.h"

namespace qsweep::text::jinja {

// `variables` is a mapping. Error where the template raises one, does what is not supported, or takes more
// than a bounded number of steps for the size of the variables.
std::string render(const Block& block, const Value& variables);

}  // namespace qsweep::text::jinja
