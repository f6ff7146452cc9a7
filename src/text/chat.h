// Chat messages and the ChatML prompt of the Qwen2-VL family.
#pragma once

#include <span>
#include <string>
#include <variant>
#include <vector>

#include "text/image_source.h"

namespace qsweep::text {

// Text, or an image in its place.
using ContentPart = std::variant<std::string, ImageSource>;

struct Message {
  std::string role;  // system, user or assistant
  std::vector<ContentPart> parts;
};

// The chat template of Qwen2.5-VL: a default system message unless the first message is one, and
// <|vision_start|><|image_pad|><|vision_end|> for each image.
std::string chatml_prompt(std::span<const Message> messages, bool add_generation_prompt);

}  // namespace qsweep::text
