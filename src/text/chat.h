// Messages, and the text that a dialect makes of them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/bpe.h"
#include "text/dialects.h"
#include "text/image_source.h"

namespace qsweep::text {

// Text, or an image in its place.
using ContentPart = std::variant<std::string, ImageSource>;

struct Message {
  std::string role;  // system, user or assistant
  std::vector<ContentPart> parts;
  bool answer = false;  // what the model is to say: its content and its end count as answer
};

struct ChatPrompt {
  std::string text;
  // Of every answer what is said and the token that ends it, without white space behind that; in order.
  std::vector<Span> answers;
};

// The dialogue as `dialect` writes it, `default_system` in the place of the dialect's own. Each image becomes
// the dialect's frame around its text of `image_texts`, which has one for each image; empty: around the mark.
// Error where the dialect has no place for such a dialogue.
ChatPrompt write_dialogue(const Dialect& dialect, std::optional<std::string_view> default_system,
                          std::span<const Message> messages, std::span<const std::string> image_texts);

// The texts of a message, one after the other.
std::string said(const Message& message);
int64_t count_images(std::span<const Message> messages);

}  // namespace qsweep::text
