#include "text/unicode.h"

#include "fixtures.h"

namespace qsweep::text {
namespace {

TEST(Unicode, LossyReplacesMaximalSubparts) {
  const std::pair<std::string, std::string> cases[] = {
      {"abc é", "abc é"},
      {"\x80", "\uFFFD"},
      {"\xC3", "\uFFFD"},
      {"\xC0\x80", "\uFFFD\uFFFD"},                      // overlong
      {"\xE0\x9F\x80", "\uFFFD\uFFFD\uFFFD"},            // overlong
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},            // surrogate
      {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // above 10FFFF
      {"\xF0\x9F\x91", "\uFFFD"},                        // truncated: one subpart
      {"\xF0\x9F\x91z\xE2\x82", "\uFFFDz\uFFFD"},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "\uFFFD\uFFFD\uFFFD\uFFFD\x41"},
  };
  for (const auto& [bytes, text] : cases) EXPECT_EQ(utf8_lossy(bytes), text);
}

TEST(Unicode, EveryScalarValueSurvivesARoundTrip) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Step step = utf8_first(text);
    ASSERT_TRUE(step.valid && step.code_point == c && step.bytes == text.size()) << static_cast<uint32_t>(c);
  }
}

TEST(Unicode, InvalidUtf8IsReportedWithItsPlace) {
  EXPECT_EQ(error_of([] { check_utf8("aé\xFFz"); }), "invalid UTF-8 at byte 3 (0xff)");
  EXPECT_EQ(error_of([] { check_utf8("aé z"); }), "");
}

TEST(Unicode, NfcComposesAndOrders) {
  EXPECT_EQ(nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(nfc("\u1100\u1161\u11a8"), "\uac01");
  EXPECT_EQ(nfc("\u212b \u2126 \u0958"), "\u00c5 \u03a9 \u0915\u093c");
  EXPECT_EQ(nfc("a\u0315\u0300\u05ae\u0301b"), "\u00e0\u05ae\u0301\u0315b");  // UAX 15's own test data
  EXPECT_EQ(nfc(std::string("a\0é", 4)), std::string("a\0é", 4));
}

// A text of the code points.
std::string utf8_of(const std::vector<char32_t>& points) {
  std::string text;
  for (const char32_t point : points) append_utf8(text, point);
  return text;
}

constexpr char32_t kL = 0x1100, kV = 0x1161, kT = 0x11A7, kS = 0xAC00;  // Unicode 15, section 3.12
constexpr char32_t kLs = 19, kVs = 21, kTs = 28;

// Composition by the standard's arithmetic: pairs from left to right.
std::vector<char32_t> composed_hangul(const std::vector<char32_t>& points) {
  std::vector<char32_t> out;
  for (const char32_t next : points) {
    const char32_t last = out.empty() ? 0 : out.back();
    if (last - kL < kLs && next - kV < kVs)
      out.back() = kS + ((last - kL) * kVs + (next - kV)) * kTs;
    else if (last - kS < kLs * kVs * kTs && (last - kS) % kTs == 0 && next > kT && next < kT + kTs)
      out.back() = last + (next - kT);
    else
      out.push_back(next);
  }
  return out;
}

TEST(Unicode, NfcOfHangulAndItsNeighbours) {
  EXPECT_EQ(nfc("\uac00\u11a7"), "\uac00\u11a7");  // a vowel: the first trailing consonant is U+11A8
  EXPECT_EQ(nfc("\uac00\u11a7\u0301e\u0301"), "\uac00\u11a7\u0301\u00e9");
  EXPECT_EQ(nfc("\u1100\u1161\u11a7\u11a7\u11a8"), "\uac00\u11a7\u11a7\u11a8");
  EXPECT_EQ(nfc("\u11a7"), "\u11a7");
  // Every jamo, and what lies beside each of the three ranges, after a consonant, LV and LVT.
  std::vector<char32_t> leading{kL - 1, kL + kLs}, vowels{kV - 1, kV + kVs}, trailing{kT, kT + kTs};
  for (char32_t i = 0; i < kLs; ++i) leading.push_back(kL + i);
  for (char32_t i = 0; i < kVs; ++i) vowels.push_back(kV + i);
  for (char32_t i = 1; i < kTs; ++i) trailing.push_back(kT + i);
  const auto check = [](const std::vector<char32_t>& points) {
    ASSERT_EQ(nfc(utf8_of(points)), utf8_of(composed_hangul(points)));
  };
  for (const char32_t l : leading)
    for (const char32_t v : vowels)
      for (const char32_t t : trailing) {
        check({l, v, t});
        check({kS, l, v, t});
      }
  for (char32_t s = kS - 1; s <= kS + kLs * kVs * kTs; ++s)
    for (const char32_t next : std::vector<char32_t>{kT, kT + 1, kT + kTs - 1, kT + kTs, kV, kL, kS})
      check({s, next});
}

TEST(Unicode, NfcOfALongRunOfMarksTerminates) {
  std::string marks = "a", below, above;
  for (int i = 0; i < 100'000; ++i) {
    marks += "\u0301\u0316";
    below += "\u0316";
    above += i == 0 ? "" : "\u0301";
  }
  EXPECT_EQ(nfc(marks), "\u00e1" + below + above);
}

TEST(Unicode, ByteLevelAlphabet) {
  EXPECT_EQ(to_byte_level("a \n\xC3\xA9\xAD"), "aĠĊÃ©Ń");
  EXPECT_EQ(from_byte_level("aĠĊÃ©Ń"), "a \n\xC3\xA9\xAD");
  EXPECT_EQ(from_byte_level("a b"), std::nullopt);
  EXPECT_EQ(from_byte_level("一"), std::nullopt);
}

}  // namespace
}  // namespace qsweep::text
