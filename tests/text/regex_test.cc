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
  EXPECT_ERROR(Regex("(a|aa)+[bd]").split(text),
               "the pre-tokenizer's pattern gave up at byte 0 of 61: match limit");
}

}  // namespace
}  // namespace qsweep::text
