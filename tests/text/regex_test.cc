#include "text/regex.h"

#include "fixtures.h"

namespace qsweep::text {
namespace {

using Pieces = std::vector<std::string_view>;

TEST(Regex, MatchesAndWhatLiesBetween) {
  EXPECT_EQ(Regex("b+").split("abbcb"), (Pieces{"a", "bb", "c", "b"}));
  EXPECT_EQ(Regex("x").split("abc"), (Pieces{"abc"}));
  EXPECT_EQ(Regex("x").split(""), Pieces{});
}

TEST(Regex, EmptyMatchesSplitButNotRightAfterAMatch) {
  EXPECT_EQ(Regex("a*").split("aab é"), (Pieces{"aa", "b", " ", "é"}));
  EXPECT_EQ(Regex("(?=c)").split("abcc"), (Pieces{"ab", "c", "c"}));
}

TEST(Regex, ReadsClassesAsOnigurumaDoes) {
  EXPECT_EQ(Regex(R"(\s+)").split("a\u3000\u0085\u180eb"), (Pieces{"a", "\u3000\u0085", "\u180eb"}));
  EXPECT_EQ(Regex(R"([^\s]+)").split("a\u180eb c"), (Pieces{"a\u180eb", " ", "c"}));
  EXPECT_EQ(Regex(R"(\p{Han}+)").split("a一二、b"), (Pieces{"a", "一二", "、b"}));
  EXPECT_EQ(Regex("(?i:'s)").split("x'ſy"), (Pieces{"x", "'ſ", "y"}));
}

TEST(Regex, RefusesWhatTheTwoEnginesReadDifferently) {
  for (const char* pattern :
       {R"(\w+)", R"(\h)",           R"(\R)", R"(\x41)", R"(\Qa\E)",  "^a",     "a$",
        "[a[b]]", R"([\p{L}&&[a]])", "[]a]",  "(?i)a",   "(?<n>a)",   "(?R)",   "(*UTF)a",
        "a{,2}",  "a{2}+",           "a{2}?", "a{x}",    R"(\p{^L})", R"(\pL)", "a\\"})
    EXPECT_ERROR(Regex(pattern), "is not supported; supported: literals, \\s") << pattern;
}

TEST(Regex, RefusesWhatDoesNotCompile) {
  EXPECT_ERROR(Regex("a(b"), "pattern \"a(b\": does not compile: ");
  EXPECT_ERROR(Regex(R"(\p{Klingon})"), "does not compile");
  EXPECT_ERROR(Regex("[abc"), "character class without end: \"[abc\"");
  EXPECT_ERROR(Regex("\xFF"), "invalid UTF-8 at byte 0");
}

TEST(Regex, StopsAPatternThatBacktracksExponentially) {
  const std::string text = std::string(60, 'a') + "c";
  EXPECT_ERROR(
      Regex("(a|aa)+[bd]").split(text),
      "the pre-tokenizer's pattern gave up at byte 0 of 61: more than 1015616 steps for the whole text");
}

// Each of these takes, at every character, as much as would be fair for the whole text.
TEST(Regex, TheBudgetIsForTheWholeText) {
  const std::string runs(400'000, 'a');
  for (const char* pattern : {"a+b", "a*?b", "(?:a|b)+c", "[^b]+(?=b)"}) {
    EXPECT_ERROR(Regex(pattern).split(runs), "steps for the whole text") << pattern;
  }
  std::string words;  // every word needs more than a short window, and none is a match
  for (int i = 0; i < 2000; ++i) words += std::string(25, 'a') + ' ';
  EXPECT_ERROR(Regex("(a|aa)+[bd]").split(words), "steps for the whole text");
}

TEST(Regex, PatternsAndPiecesOfATextShareItsBudget) {
  const std::string text = std::string(200, 'a') + "c";
  const Regex regex("a+b");
  EXPECT_EQ(regex.split(text).size(), 1u);
  MatchBudget budget(text.size());
  EXPECT_ERROR(
      [&] {
        for (int i = 0; i < 10; ++i) regex.split(text, budget);
        return 0;
      }(),
      "steps for the whole text");
}

// Matches are looked for within windows; words of any length, and what stands behind them, are found alike.
TEST(Regex, WordsAreNotCutWhereAWindowEnds) {
  const Regex regex(R"(\p{L}+(?=\p{N})|\p{L}+|\s+(?!\S)|\s+)");
  for (size_t length = 1; length < 300; ++length) {
    for (const std::string letter : {"a", "é", "日", "𝒳"}) {
      std::string word, longer;
      for (size_t i = 0; i < length; ++i) word += letter;
      const std::string spaces(length, ' ');
      const std::string text = word + "." + word + "1" + spaces + "2" + spaces;
      Pieces expected{word, ".", word, "1", std::string_view(spaces).substr(1), " ", "2", spaces};
      std::erase_if(expected, [](std::string_view piece) { return piece.empty(); });
      ASSERT_EQ(regex.split(text), expected) << length;
    }
  }
}

TEST(Regex, LongWordsAreWithinTheBudget) {
  const std::string word(3'000'000, 'a');
  EXPECT_EQ(Regex(R"(\p{L}+|\s+(?!\S)|\s+)").split(word + std::string(1'000'000, ' ') + "b").size(), 4u);
  EXPECT_EQ(Regex(R"(\p{N}{1,3})").split(std::string(300'000, '1')).size(), 100'000u);
  EXPECT_EQ(Regex("b").split(word).size(), 1u);
}

}  // namespace
}  // namespace qsweep::text
