// config.json of a shallower model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/json_fwd.h"

namespace qsweep::synth {

// The config with only its first `layers` decoder layers and `vision_layers` vision blocks; empty: all. Lists
// by layer are cut, and of lists of layers those that are gone are left out; a list that would come out empty
// names the last layer, so that a shallow model still has layers of that kind. Error where the config has
// fewer layers or no such tower; `where` is the file's name.
io::Json with_layers(io::Json config, const std::string& where, std::optional<int64_t> layers,
                     std::optional<int64_t> vision_layers);

}  // namespace qsweep::synth
