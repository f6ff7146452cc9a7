#include "base/readable.h"

#include <gtest/gtest.h>

namespace qsweep {
namespace {

TEST(Readable, TextStaysAsItIs) {
  for (const std::string text :
       {"", "plain text", "größer, 漢字, \U0001f600", "\"a\" and 'b' \\ /c", "\xc2\xa0"}) {
    EXPECT_EQ(valid_utf8(text), text);
    EXPECT_EQ(printable(text), text);
    EXPECT_EQ(readable_message(text), text);
  }
}

TEST(Readable, WhatIsNoUtf8IsWrittenPerByte) {
  EXPECT_EQ(valid_utf8("a\xff/b"), "a\\xff/b");
  EXPECT_EQ(valid_utf8("\xe2\x82"), "\\xe2\\x82") << "cut off";
  EXPECT_EQ(valid_utf8("\xc0\xaf\xe0\x80\xaf"), "\\xc0\\xaf\\xe0\\x80\\xaf") << "longer than needed";
  EXPECT_EQ(valid_utf8("\xed\xa0\x80\xf4\x90\x80\x80"), "\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80")
      << "no characters";
  EXPECT_EQ(valid_utf8("\xc3("), "\\xc3(");
  EXPECT_EQ(valid_utf8("a\x1b[2J\n"), "a\x1b[2J\n") << "control characters are UTF-8";
}

TEST(Readable, ControlCharactersDoNotReachATerminal) {
  EXPECT_EQ(printable("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m");
  EXPECT_EQ(printable("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(printable(std::string_view("\0\x7f", 2)), "\\x00\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b") << "C1: CSI in one character";
  EXPECT_EQ(printable("a\u202eb\u2066c\u2028"), "a\\xe2\\x80\\xaeb\\xe2\\x81\\xa6c\\xe2\\x80\\xa8");
}

TEST(Readable, LongValuesKeepTheirBeginAndEnd) {
  const std::string path = "/begin/" + std::string(5000, 'x') + "/end.json";
  const std::string message = readable_message("--data: " + path + ": cannot open");
  EXPECT_TRUE(message.starts_with("--data: /begin/xxx")) << message;
  EXPECT_TRUE(message.ends_with("xxx/end.json: cannot open")) << message;
  EXPECT_NE(message.find("...(5017 characters)..."), std::string::npos) << message;
  EXPECT_LE(message.size(), 8 + 120 + 13u);
  const std::string fits(120, 'y');
  EXPECT_EQ(readable_message(fits), fits);
  EXPECT_LT(readable_message(fits + "y").size(), 121u);
}

TEST(Readable, LongQuotationsAreCutWhatEverTheyHold) {
  std::string words;
  for (int i = 0; i < 100; ++i) words += "word ";
  const std::string message = readable_message("found \"" + words + "\"; known: " + words);
  EXPECT_EQ(message.find("found \"word word"), 0u);
  EXPECT_NE(message.find("characters)..."), std::string::npos);
  EXPECT_TRUE(message.ends_with("word \"; known: " + words))
      << "a list of short values is whole: " << message;
}

TEST(Readable, OneValueIsCutWhateverItHolds) {
  EXPECT_EQ(readable_value("images/a b.png"), "images/a b.png");
  EXPECT_EQ(readable_value("a\n\x1b[31mb"), "a\\n\\x1b[31mb");
  std::string words;
  for (int i = 0; i < 100; ++i) words += "word ";
  const std::string cut = readable_value(words);
  EXPECT_EQ(cut.size(), 120u);
  EXPECT_TRUE(cut.starts_with("word word ")) << cut;
  EXPECT_NE(cut.find("...(500 characters)..."), std::string::npos) << cut;
}

TEST(Readable, CharactersAreNotCutApart) {
  std::string umlauts;
  for (int i = 0; i < 500; ++i) umlauts += "\u00fc";
  const std::string message = readable_message(umlauts);
  EXPECT_EQ(valid_utf8(message), message);
  EXPECT_NE(message.find("(500 characters)"), std::string::npos);
}

TEST(Readable, AMessageOfManyValuesEnds) {
  std::string list;
  for (int i = 0; i < 100000; ++i) list += "value, ";
  EXPECT_LE(readable_message(list).size(), 4000u);
}

}  // namespace
}  // namespace qsweep
