// Chat messages and the ChatML prompt of the Qwen2-VL family.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace qsweep::text {

struct ContentPart {
  enum class Kind { text, image };
  Kind kind = Kind::text;
  std::string value;  // the text, or the path of the image
};

struct Message {
  std::string role;  // system, user or assistant
  std::vector<ContentPart> parts;
};

// The chat template of Qwen2.5-VL: a default system message unless the first message is one, and
// <|vision_start|><|image_pad|><|vision_end|> for each image.
std::string chatml_prompt(std::span<const Message> messages, bool add_generation_prompt);

}  // namespace qsweep::text
