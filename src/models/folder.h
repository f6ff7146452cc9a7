// What people give instead of the folder of a float checkpoint, told by name.
#pragma once

#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "io/json_fwd.h"

namespace qsweep::models {

// Error where `folder` is none, or holds no checkpoint but something else that is known.
void check_folder(const std::string& folder);

// Error where config.json says in a way that nothing here reads that the model is quantized.
void refuse_quantized(const io::Json& config, const std::string& path);
// ... or a file of ModelOpt does.
void refuse_modelopt(const std::string& folder);
// Error where the tensors are those of a quantized model, of which config.json does not tell.
void refuse_quantized(const io::Checkpoint& checkpoint, const std::string& folder);

// Of what else the folder holds that other programs apply to the weights.
std::vector<std::string> folder_warnings(const std::string& folder);

}  // namespace qsweep::models
