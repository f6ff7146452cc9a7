#include "text/chat.h"

#include "base/error.h"

namespace qsweep::text {
namespace {

void begin_message(std::string& text, std::string_view role) {
  text.append(kMessageStart).append(role).append("\n");
}

void add_image(std::string& text, int64_t n_tokens) {
  text += kVisionStart;
  for (int64_t i = 0; i < n_tokens; ++i) text += kImagePad;
  text += kVisionEnd;
}

}  // namespace

ChatPrompt chatml_prompt(std::span<const Message> messages, std::span<const int64_t> image_token_counts,
                         bool add_generation_prompt) {
  ChatPrompt prompt;
  std::string& text = prompt.text;
  size_t images = 0;
  if (!messages.empty() && messages[0].role != "system") {
    begin_message(text, "system");
    text.append("You are a helpful assistant.").append(kMessageEnd).append("\n");
  }
  for (const Message& message : messages) {
    begin_message(text, message.role);
    const size_t begin = text.size();
    for (const ContentPart& part : message.parts) {
      if (const auto* words = std::get_if<std::string>(&part)) {
        text += *words;
      } else {
        QSWEEP_CHECK(images < image_token_counts.size(), "more images than counts");
        add_image(text, image_token_counts[images++]);
      }
    }
    text += kMessageEnd;
    if (message.answer) prompt.answers.push_back({begin, text.size()});
    text += "\n";
  }
  if (add_generation_prompt) begin_message(text, "assistant");
  QSWEEP_CHECK(images == image_token_counts.size(), "more counts than images");
  return prompt;
}

}  // namespace qsweep::text
