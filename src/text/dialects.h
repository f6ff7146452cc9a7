// Chat dialects: how a dialogue is written as one text, a row of data each. Dialects are not model families:
// a family may be found with several of them, and several families share one.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace qsweep::text {

// What stands around a message.
struct Turn {
  std::string_view head, end;
};

// What an image is in the text: `mark` between `before` and `after`. The family puts something longer in the
// place of the mark, as its model wants it.
struct ImageFrame {
  std::string_view before, mark, after;
};

enum class SystemPlace {
  own_turn,
  first_turn,  // its words come before those of the first message, with an empty line between them
};

// Whether the white space around what is said is dropped, of a message as a whole or of each part of its
// text.
enum class Trim { none, message, part };

struct Dialect {
  std::string_view name;  // for --chat-template
  std::string_view begin = {};
  Turn system = {}, user, assistant;
  // Of a system message that comes first, where the default one stays before it.
  Turn instructions = {};
  std::string_view last_end = {};  // of the assistant's turn where it is the last; empty: as any other's
  SystemPlace system_place = SystemPlace::own_turn;
  std::string_view system_prefix = {};  // before the words of a system message that comes first
  // The words of the system message of a dialogue without one; nullopt: it stays without.
  std::optional<std::string_view> default_system = {};
  Trim trim = Trim::none;
  bool alternates = false;  // after a first system message it is the user's turn, then the assistant's, ...
  // Thoughts (<think>...</think>) are kept only behind the user's last message, and the last answer has some,
  // if need be empty ones.
  bool thinks = false;
  ImageFrame image = {};
  std::span<const std::string_view> tokens;         // texts that must be tokens
  std::span<const std::string_view> reserved = {};  // texts that nobody may say: they stand for images
};

std::span<const Dialect> known_dialects();
// Error that lists the known ones.
const Dialect& find_dialect(std::string_view name);
// "chatml, qwen2, ..."
std::string dialect_names();

}  // namespace qsweep::text
