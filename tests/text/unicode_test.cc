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
