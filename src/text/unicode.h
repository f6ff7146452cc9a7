// UTF-8 and Unicode as the tokenizer needs them: strict decoding, NFC, white space, and the byte-level
// alphabet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qsweep::text {

// The first code point of a text. Where the text does not start with valid UTF-8, `valid` is false and
// `bytes` is the length of the maximal subpart that one U+FFFD replaces (Unicode 15, section 3.9).
struct Utf8Step {
  char32_t code_point;
  size_t bytes;
  bool valid;
};
Utf8Step utf8_first(std::string_view text);  // text must not be empty

void append_utf8(std::string& text, char32_t code_point);

// Error with the byte offset of the first invalid sequence.
void check_utf8(std::string_view text);

// Replaces each maximal invalid subpart by U+FFFD.
std::string utf8_lossy(std::string_view bytes);

// Unicode normalization form C of valid UTF-8, in O(n log n) whatever the combining marks.
std::string nfc(std::string_view text);

// The Unicode property White_Space.
bool is_white_space(char32_t code_point);

// Valid UTF-8 without the white space at its ends, as Python's str.strip() has it: White_Space and the four
// separators U+001C to U+001F.
std::string_view trimmed(std::string_view text);

// The byte-level alphabet of GPT-2: one printable character for each byte.
std::string to_byte_level(std::string_view bytes);
// nullopt where a character is not in the alphabet.
std::optional<std::string> from_byte_level(std::string_view token);

}  // namespace qsweep::text
