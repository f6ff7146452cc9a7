#include "text/chat.h"

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace qsweep::text {
namespace {

constexpr std::string_view kThoughtBegin = "<think>", kThoughtEnd = "</think>";

std::string_view without_line_breaks_before(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of('\n'), text.size()));
}

std::string_view without_line_breaks_behind(std::string_view text) {
  return text.substr(0, text.find_last_not_of('\n') + 1);
}

// What the model has thought and what it has said.
struct Answer {
  std::string_view thoughts, words;
};

Answer parse_answer(std::string_view text) {
  const size_t first_end = text.find(kThoughtEnd);
  if (first_end == std::string_view::npos) return {{}, text};
  std::string_view thoughts = without_line_breaks_behind(text.substr(0, first_end));
  if (const size_t begin = thoughts.rfind(kThoughtBegin); begin != std::string_view::npos)
    thoughts.remove_prefix(begin + kThoughtBegin.size());
  return {without_line_breaks_before(thoughts),
          without_line_breaks_before(text.substr(text.rfind(kThoughtEnd) + kThoughtEnd.size()))};
}

// The user's last message; what follows it is the model's work on it.
size_t last_question(std::span<const Message> messages) {
  for (size_t i = messages.size(); i-- > 0;) {
    if (messages[i].role != "user") continue;
    const std::string text = said(messages[i]);
    if (!text.starts_with("<tool_response>") || !text.ends_with("</tool_response>")) return i;
  }
  return messages.empty() ? 0 : messages.size() - 1;
}

class Writer {
 public:
  Writer(const Dialect& dialect, std::span<const std::string> image_texts)
      : dialect_(dialect), image_texts_(image_texts) {}

  ChatPrompt write(std::span<const Message> messages, std::optional<std::string_view> default_system) {
    prompt_.text = dialect_.begin;
    const bool has_system = !messages.empty() && messages[0].role == "system";
    const bool folds = dialect_.system_place == SystemPlace::first_turn;
    if (dialect_.alternates) check_turns(messages.subspan(has_system ? 1 : 0), has_system ? 1 : 0);
    const bool stays = !dialect_.instructions.head.empty();
    if ((!has_system || stays) && default_system && !messages.empty()) write_system(*default_system);
    question_ = last_question(messages);
    for (size_t i = 0; i < messages.size(); ++i) {
      if (i == 0 && has_system && (folds || (stays && said(messages[0]).empty()))) continue;
      const std::string prefix = i == 1 && has_system && folds ? said(messages[0]) + "\n\n" : "";
      write_message(messages[i], prefix, i, messages.size());
    }
    QSWEEP_CHECK(image_texts_.empty() || images_ == image_texts_.size(), "{} images, {} texts for them",
                 images_, image_texts_.size());
    return std::move(prompt_);
  }

 private:
  void check_turns(std::span<const Message> messages, size_t first) const {
    for (size_t i = 0; i < messages.size(); ++i) {
      const std::string_view expected = i % 2 == 0 ? "user" : "assistant";
      if (messages[i].role != expected)
        fail(
            "messages[{}]: \"role\": expected {}, as the turns of user and assistant alternate in the chat "
            "dialect {}, found {}",
            first + i, expected, dialect_.name, messages[i].role);
    }
  }

  const Turn& turn_of(const Message& message, size_t index) const {
    const bool instructs = index == 0 && !dialect_.instructions.head.empty();
    if (message.role == "system") return instructs ? dialect_.instructions : dialect_.system;
    return message.role == "user" ? dialect_.user : dialect_.assistant;
  }

  void write_system(std::string_view words) {
    prompt_.text.append(dialect_.system.head).append(dialect_.system_prefix);
    prompt_.text.append(words).append(dialect_.system.end);
  }

  void write_message(const Message& message, std::string_view prefix, size_t index, size_t count) {
    std::string& text = prompt_.text;
    const Turn& turn = turn_of(message, index);
    text += turn.head;
    if (index == 0 && message.role == "system") text += dialect_.system_prefix;
    text += prefix;
    size_t begin = text.size();
    if (dialect_.thinks && message.role == "assistant") {
      begin = write_answer(message, index > question_, index + 1 == count);
    } else {
      write_parts(message);
    }
    const bool last_answer = message.role == "assistant" && index + 1 == count;
    const std::string_view end = last_answer && !dialect_.last_end.empty() ? dialect_.last_end : turn.end;
    text += without_line_breaks_behind(end);
    if (message.answer) prompt_.answers.push_back({begin, text.size()});
    text += end.substr(without_line_breaks_behind(end).size());
  }

  // Returns where the answer begins: empty thoughts are no part of it.
  size_t write_answer(const Message& message, bool behind_question, bool last) {
    std::string& text = prompt_.text;
    const std::string content = said(message);
    const Answer answer = parse_answer(content);
    size_t begin = text.size();
    if (!behind_question || (!last && answer.thoughts.empty())) {
      text += answer.words;
      return begin;
    }
    text.append(kThoughtBegin).append("\n").append(without_line_breaks_behind(answer.thoughts));
    text.append("\n").append(kThoughtEnd).append("\n\n");
    if (answer.thoughts.empty()) begin = text.size();
    text += without_line_breaks_before(answer.words);
    return begin;
  }

  void write_parts(const Message& message) {
    std::string& text = prompt_.text;
    if (dialect_.trim == Trim::message && count_images({&message, 1}) == 0) {
      text += trimmed(said(message));
      return;
    }
    for (const ContentPart& part : message.parts) {
      if (const auto* words = std::get_if<std::string>(&part)) {
        text += dialect_.trim == Trim::part ? trimmed(*words) : std::string_view(*words);
      } else {
        write_image();
      }
    }
  }

  void write_image() {
    if (dialect_.image.mark.empty()) fail("the chat dialect {} has no images", dialect_.name);
    QSWEEP_CHECK(image_texts_.empty() || images_ < image_texts_.size(), "more images than texts for them");
    prompt_.text += dialect_.image.before;
    prompt_.text += image_texts_.empty() ? dialect_.image.mark : std::string_view(image_texts_[images_]);
    prompt_.text += dialect_.image.after;
    ++images_;
  }

  const Dialect& dialect_;
  std::span<const std::string> image_texts_;
  size_t images_ = 0, question_ = 0;
  ChatPrompt prompt_;
};

}  // namespace

ChatPrompt write_dialogue(const Dialect& dialect, std::optional<std::string_view> default_system,
                          std::span<const Message> messages, std::span<const std::string> image_texts) {
  return Writer(dialect, image_texts).write(messages, default_system);
}

std::string said(const Message& message) {
  std::string text;
  for (const ContentPart& part : message.parts)
    if (const auto* words = std::get_if<std::string>(&part)) text += *words;
  return text;
}

int64_t count_images(std::span<const Message> messages) {
  int64_t count = 0;
  for (const Message& message : messages)
    count += std::ranges::count_if(
        message.parts, [](const ContentPart& part) { return std::holds_alternative<ImageSource>(part); });
  return count;
}

}  // namespace qsweep::text
