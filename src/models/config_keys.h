// Keys that a config.json of any family may have.
#pragma once

#include <span>

#include "io/keys.h"

namespace qsweep::models {

// Of transformers' PretrainedConfig (configuration_utils.py) and of the programs that write such files: what
// has no influence on a forward pass over given tokens, and features that no family here has.
std::span<const io::KnownKey> pretrained_config_keys();

}  // namespace qsweep::models
