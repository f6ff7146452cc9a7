#include "text/unicode.h"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include <utf8proc.h>

#include "base/error.h"

namespace qsweep::text {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

// What may follow a lead byte: the number of continuation bytes, and the range of the first of them (the
// others are 80..BF). These ranges exclude overlong forms, surrogates and values above 10FFFF.
struct Lead {
  int continuations;
  uint8_t low, high;
};

std::optional<Lead> lead_of(uint8_t byte) {
  if (byte < 0xC2 || byte > 0xF4) return std::nullopt;
  if (byte < 0xE0) return Lead{1, 0x80, 0xBF};
  if (byte < 0xF0)
    return Lead{2, byte == 0xE0 ? uint8_t{0xA0} : uint8_t{0x80},
                byte == 0xED ? uint8_t{0x9F} : uint8_t{0xBF}};
  return Lead{3, byte == 0xF0 ? uint8_t{0x90} : uint8_t{0x80}, byte == 0xF4 ? uint8_t{0x8F} : uint8_t{0xBF}};
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

std::vector<int32_t> canonical_decomposition(std::string_view text) {
  std::vector<int32_t> points;
  points.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = utf8_first(text);
    QSWEEP_CHECK(step.valid, "nfc needs valid UTF-8");
    std::array<int32_t, 16> parts;  // the longest canonical decomposition has 4 code points
    int boundary_class = 0;
    const auto count = utf8proc_decompose_char(
        static_cast<int32_t>(step.code_point), parts.data(), parts.size(),
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE), &boundary_class);
    QSWEEP_CHECK(count >= 0 && count <= static_cast<utf8proc_ssize_t>(parts.size()),
                 "decomposition of {:x}: {}", static_cast<uint32_t>(step.code_point), count);
    points.insert(points.end(), parts.begin(), parts.begin() + count);
    text.remove_prefix(step.bytes);
  }
  return points;
}

int combining_class(int32_t code_point) { return utf8proc_get_property(code_point)->combining_class; }

// utf8proc's own ordering is quadratic in the length of a run of combining marks; a stable sort is not.
void order_combining_marks(std::vector<int32_t>& points) {
  const auto is_mark = [](int32_t point) { return combining_class(point) != 0; };
  for (auto run = points.begin(); run != points.end();) {
    run = std::find_if(run, points.end(), is_mark);
    const auto end = std::find_if_not(run, points.end(), is_mark);
    std::stable_sort(run, end, [](int32_t a, int32_t b) { return combining_class(a) < combining_class(b); });
    run = end;
  }
}

// Appends the composition of decomposed, ordered code points.
void append_composed(std::span<int32_t> points, std::string& text) {
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  const auto count =
      utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()), options);
  QSWEEP_CHECK(count >= 0, "utf8proc: {}", utf8proc_errmsg(count));
  for (const int32_t point : points.first(static_cast<size_t>(count)))
    append_utf8(text, static_cast<char32_t>(point));
}

// The vowel before the first trailing consonant of Hangul. It composes with nothing, but utf8proc 2.8 takes
// it for a trailing consonant and swallows it.
constexpr int32_t kBeforeTrailingConsonants = 0x11A7;

struct ByteAlphabet {
  std::array<char32_t, 256> character;
  std::array<int16_t, 324> byte;  // by character, -1 where it is not in the alphabet

  ByteAlphabet() {
    byte.fill(-1);
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      character[b] = printable ? static_cast<char32_t>(b) : next++;
      byte[character[b]] = static_cast<int16_t>(b);
    }
  }
};

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

}  // namespace

Utf8Step utf8_first(std::string_view text) {
  const uint8_t first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return {first, 1, true};
  const auto lead = lead_of(first);
  if (!lead) return {kReplacement, 1, false};
  char32_t point = first & (0x3Fu >> lead->continuations);
  for (int i = 1; i <= lead->continuations; ++i) {
    const uint8_t low = i == 1 ? lead->low : 0x80, high = i == 1 ? lead->high : 0xBF;
    const bool present = static_cast<size_t>(i) < text.size();
    const uint8_t byte = present ? static_cast<uint8_t>(text[i]) : 0;
    if (byte < low || byte > high) return {kReplacement, static_cast<size_t>(i), false};
    point = (point << 6) | (byte & 0x3Fu);
  }
  return {point, static_cast<size_t>(lead->continuations) + 1, true};
}

void append_utf8(std::string& text, char32_t code_point) {
  std::array<uint8_t, 4> bytes;
  const auto count = utf8proc_encode_char(static_cast<int32_t>(code_point), bytes.data());
  text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(count));
}

void check_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_first(text.substr(at));
    if (!step.valid)
      fail("invalid UTF-8 at byte {} (0x{:02x})", at, static_cast<unsigned>(static_cast<uint8_t>(text[at])));
    at += step.bytes;
  }
}

std::string utf8_lossy(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Utf8Step step = utf8_first(bytes);
    append_utf8(text, step.code_point);
    bytes.remove_prefix(step.bytes);
  }
  return text;
}

std::string nfc(std::string_view text) {
  if (is_ascii(text)) return std::string(text);
  std::vector<int32_t> points = canonical_decomposition(text);
  order_combining_marks(points);
  std::string composed;
  composed.reserve(text.size());
  for (auto begin = points.begin(); begin != points.end();) {
    const auto end = std::find(begin, points.end(), kBeforeTrailingConsonants);
    append_composed({begin, end}, composed);
    begin = end;
    for (; begin != points.end() && *begin == kBeforeTrailingConsonants; ++begin)
      append_utf8(composed, static_cast<char32_t>(kBeforeTrailingConsonants));
  }
  return composed;
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); };
  while (!text.empty()) {
    const Utf8Step step = utf8_first(text);
    if (!is_space(step.code_point)) break;
    text.remove_prefix(step.bytes);
  }
  while (!text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && (static_cast<uint8_t>(text[last]) & 0xC0) == 0x80) --last;
    if (!is_space(utf8_first(text.substr(last)).code_point)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string to_byte_level(std::string_view bytes) {
  std::string token;
  token.reserve(bytes.size() * 2);
  for (const char byte : bytes) append_utf8(token, byte_alphabet().character[static_cast<uint8_t>(byte)]);
  return token;
}

std::optional<std::string> from_byte_level(std::string_view token) {
  const auto& byte_of = byte_alphabet().byte;
  std::string bytes;
  while (!token.empty()) {
    const Utf8Step step = utf8_first(token);
    if (step.code_point >= byte_of.size() || byte_of[step.code_point] < 0) return std::nullopt;
    bytes += static_cast<char>(byte_of[step.code_point]);
    token.remove_prefix(step.bytes);
  }
  return bytes;
}

}  // namespace qsweep::text
