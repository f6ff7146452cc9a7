#include "base/readable.h"

#include <array>
#include <cstdint>

#include <fmt/format.h>

namespace qsweep {
namespace {

constexpr size_t kMostOfAValue = 120;     // characters
constexpr size_t kShownAtTheEnd = 36;     // of a value that is cut
constexpr size_t kMostOfAMessage = 4000;  // which may list many short values

// A character at the front of `text`: its bytes, and its code where it is valid UTF-8.
struct Character {
  size_t bytes = 1;
  uint32_t code = 0;
  bool valid = false;
};

Character first_character(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return {1, lead, true};
  const size_t bytes = lead >= 0xf0 && lead <= 0xf4  ? 4
                       : lead >= 0xe0 && lead < 0xf0 ? 3
                       : lead >= 0xc2 && lead < 0xe0 ? 2
                                                     : 0;
  if (bytes == 0 || text.size() < bytes) return {};
  uint32_t code = lead & (0x7fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((at(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (at(i) & 0x3fu);
  }
  constexpr std::array<uint32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  if (code < kLeast.at(bytes) || code > 0x10ffff || surrogate) return {};
  return {bytes, code, true};
}

// Of a terminal, or of the direction in which text runs.
bool is_control(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

void append_escaped(std::string& to, std::string_view bytes) {
  for (const char c : bytes) {
    switch (c) {
      case '\n':
        to += "\\n";
        break;
      case '\r':
        to += "\\r";
        break;
      case '\t':
        to += "\\t";
        break;
      default:
        to += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
}

template <class Escaped>
std::string escaped(std::string_view text, Escaped&& is_escaped) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character c = first_character(text);
    if (!c.valid || is_escaped(c.code))
      append_escaped(out, text.substr(0, c.bytes));
    else
      out += text.substr(0, c.bytes);
    text.remove_prefix(c.bytes);
  }
  return out;
}

size_t characters(std::string_view text) {
  size_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
  return n;
}

// Bytes of the first n characters.
size_t bytes_of(std::string_view text, size_t n) {
  size_t bytes = 0;
  for (; n > 0 && bytes < text.size(); --n) bytes += first_character(text.substr(bytes)).bytes;
  return std::min(bytes, text.size());
}

std::string cut(std::string_view value, size_t most) {
  const size_t length = characters(value);
  if (length <= most) return std::string(value);
  const std::string gap = fmt::format("...({} characters)...", length);
  const size_t head = most - kShownAtTheEnd - gap.size();
  return std::string(value.substr(0, bytes_of(value, head))) + gap +
         std::string(value.substr(bytes_of(value, length - kShownAtTheEnd)));
}

// Bytes of the value at the front of `text`: a quotation as far as its end, or a word.
size_t value_bytes(std::string_view text) {
  if (text.front() == '"')
    if (const size_t end = text.find('"', 1); end != std::string_view::npos) return end + 1;
  return std::min(text.find_first_of(" \"", 1), text.size());
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  return escaped(text, [](uint32_t) { return false; });
}

std::string printable(std::string_view text) { return escaped(text, is_control); }

std::string readable_value(std::string_view value) { return cut(printable(value), kMostOfAValue); }

std::string readable_message(std::string_view message) {
  const std::string whole = printable(message);
  std::string out;
  for (std::string_view left = whole; !left.empty();) {
    const size_t bytes = left.front() == ' ' ? 1 : value_bytes(left);
    out += cut(left.substr(0, bytes), kMostOfAValue);
    left.remove_prefix(bytes);
  }
  return cut(out, kMostOfAMessage);
}

}  // namespace qsweep
