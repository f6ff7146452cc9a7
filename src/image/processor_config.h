// The image settings that a model folder holds: preprocessor_config.json, or a processor_config.json as
// transformers 5 writes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "image/processor.h"

namespace qsweep::image {

// What a model's config.json says of its images. All numbers are positive.
struct ModelImages {
  // transformers' name of its image processor, which is one of the table in processor_config.cc.
  std::string_view processor = "";
  int64_t patch_size = 0;
  int64_t temporal_patch_size = 1;
  int64_t merge_size = 1;
  // Pixels per side for which the model has positions. A processor with a fixed size must have this one, one
  // with a longest edge none above it.
  std::optional<int64_t> image_size = {};
  // That an image takes in the prompt, where the processor's files may say it too.
  std::optional<int64_t> tokens_per_image = {};
};

// The settings are in a file of their own, or under "image_processor" in that of the whole processor. What is
// left out has transformers' default. Empty where the folder has no settings for images.
// Error on another processor than the model's, on settings that contradict the model or each other (two files
// may both have them), a value out of range, a key that is not known, and whatever is not implemented (no
// resize, another filter, ...).
std::optional<Processor> find_processor(const std::string& folder, const ModelImages& model);

}  // namespace qsweep::image
