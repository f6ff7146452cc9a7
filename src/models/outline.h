// A model without its weights.
#pragma once

#include <string>

#include "io/json_fwd.h"
#include "models/model.h"

namespace qsweep::models {

// The model that `config`, the content of the folder's config.json, describes. Its checkpoint lists every
// tensor that it would read (Checkpoint::wanted), in the first layout that its family knows. Errors as in
// load().
Model outline(const std::string& folder, const io::Json& config);

}  // namespace qsweep::models
