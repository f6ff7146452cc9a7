#include "text/chat.h"

namespace qsweep::text {

std::string chatml_prompt(std::span<const Message> messages, bool add_generation_prompt) {
  std::string prompt;
  if (!messages.empty() && messages[0].role != "system")
    prompt += "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n";
  for (const Message& message : messages) {
    prompt += "<|im_start|>" + message.role + "\n";
    for (const ContentPart& part : message.parts) {
      const auto* text = std::get_if<std::string>(&part);
      prompt += text != nullptr ? *text : "<|vision_start|><|image_pad|><|vision_end|>";
    }
    prompt += "<|im_end|>\n";
  }
  if (add_generation_prompt) prompt += "<|im_start|>assistant\n";
  return prompt;
}

}  // namespace qsweep::text
