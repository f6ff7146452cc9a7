// The image settings that a model folder holds: preprocessor_config.json, or a processor_config.json as
// transformers 5 writes it.
#pragma once

#include <optional>
#include <string>

#include "image/patches.h"

namespace qsweep::image {

// Of a Qwen2VLImageProcessor, in a file of its own or as "image_processor" in that of the whole processor.
// What is left out has the processor's default. min_pixels and max_pixels win over size.shortest_edge and
// size.longest_edge, which are pixel counts too.
// Error on another processor, a value out of range, a key that is not known, and any setting that is not
// implemented (no resize, another filter, ...).
PatchConfig read_preprocessor_config(const std::string& path);

struct Preprocessor {
  PatchConfig config;
  std::string where;  // the file
};

// Empty where the folder has no settings for images. Error where two files have different ones.
std::optional<Preprocessor> find_preprocessor(const std::string& folder);

}  // namespace qsweep::image
