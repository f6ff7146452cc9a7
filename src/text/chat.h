// Chat messages and the ChatML prompt of the Qwen2-VL family.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/bpe.h"
#include "text/image_source.h"

namespace qsweep::text {

// Special tokens of the template.
inline constexpr std::string_view kMessageStart = "<|im_start|>", kMessageEnd = "<|im_end|>";
inline constexpr std::string_view kImagePad = "<|image_pad|>", kVideoPad = "<|video_pad|>";
inline constexpr std::string_view kVisionStart = "<|vision_start|>", kVisionEnd = "<|vision_end|>";

// Text, or an image in its place.
using ContentPart = std::variant<std::string, ImageSource>;

struct Message {
  std::string role;  // system, user or assistant
  std::vector<ContentPart> parts;
  bool answer = false;  // what the model is to say: its content and its end count as answer
};

struct ChatPrompt {
  std::string text;
  std::vector<Span> answers;  // of every answer, the content and its <|im_end|>; in order
};

// The chat template of Qwen2.5-VL: a default system message unless the first message is one, and
// <|vision_start|><|image_pad|>...<|vision_end|> for each image, with as many <|image_pad|> as its count
// says.
ChatPrompt chatml_prompt(std::span<const Message> messages, std::span<const int64_t> image_token_counts,
                         bool add_generation_prompt);

}  // namespace qsweep::text
