// How the dialogues of a checkpoint are written: the dialect, and the checkpoint's own chat template, which
// every dialogue is checked against.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "io/json_fwd.h"
#include "text/chat.h"

namespace qsweep::text {

class ChatTemplate;

struct ChatFormat {
  const Dialect* dialect = nullptr;  // null: chat data is refused
  // In the place of the dialect's own: what the checkpoint's template says where there is no system message.
  std::optional<std::string> default_system = {};
  std::shared_ptr<const ChatTemplate> checked_by = {};  // null: dialogues are as the dialect writes them
  std::string refusal = {};                             // why there is no dialect, and the ways out
};

// Of a checkpoint's folder. `chosen` (--chat-template) is a dialect that is taken as it is. Else the
// checkpoint's template says which one it is: chat_template.jinja, chat_template.json or "chat_template" of
// tokenizer_config.json; a folder without any gets `usual`, the dialect that the family names.
ChatFormat find_chat_format(const std::string& folder, const std::optional<std::string>& chosen,
                            std::string_view usual);

// As a template renders, so that dialogues are the template's to the last byte; no dialect where none of the
// known ones comes near. `template_text` is Jinja; `special_tokens` has bos_token and others by name.
ChatFormat format_of_template(std::string_view template_text, const io::Json& special_tokens);

// The dialogue's text. Error where the format has no dialect, the dialect no such dialogue, or the
// checkpoint's template writes it otherwise. image_texts as in write_dialogue.
ChatPrompt write_prompt(const ChatFormat& format, std::span<const Message> messages,
                        std::span<const std::string> image_texts);

}  // namespace qsweep::text
