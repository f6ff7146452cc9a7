#include "io/json.h"

#include <chrono>

#include "test_files.h"

namespace qsweep::io {
namespace {

std::string repeated(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST(ParseJson, BuildsEveryKindOfValueInOrder) {
  const Json json = parse_json(
      R"( {"z":[1,-2,18446744073709551615,1.5,true,false,null,"\u00e9\n"],"a":{"":{}},"m":[]} )", "x");
  EXPECT_EQ(json.dump(), R"({"z":[1,-2,18446744073709551615,1.5,true,false,null,"é\n"],"a":{"":{}},"m":[]})");
  EXPECT_EQ(parse_json("7", "x").get<int>(), 7);
  EXPECT_EQ(parse_json("[[],[[1]]]", "x").dump(), "[[],[[1]]]");
}

TEST(ParseJson, AgreesWithTheLibrarysOwnParser) {
  const std::string text = read_text(testdata("families/qwen2_5_vl/tokenizer.json"));
  EXPECT_EQ(parse_json(text, "x"), Json::parse(text));
}

TEST(ParseJson, SyntaxErrorsSayWhere) {
  EXPECT_THAT([] { parse_json("{\"a\":\n 1,}", "x.json"); },
              fails_with("x.json: not valid JSON: parse error at line 2"));
  for (const char* bad :
       {"", " ", "{", "[1,2", "{\"a\"}", "{'a':1}", "[1] 2", "nul", "01", "+1", "NaN", "1e999", "\"\\ud800\"",
        "\"\x01\"", "\"\xff\"", "\"\xed\xa0\x80\"", "/* */ 1", "[1,]"})
    EXPECT_THROW(parse_json(bad, "x"), Error) << bad;
}

TEST(ParseJson, DuplicateKeysAreRefusedInEachObject) {
  EXPECT_THAT([] { parse_json(R"({"a":1,"b":2,"a":3})", "x"); }, fails_with("x: duplicate key \"a\""));
  EXPECT_THAT([] { parse_json(R"([{"c":{"b":2,"b":3}}])", "x"); }, fails_with("duplicate key \"b\""));
  EXPECT_THAT([] { parse_json(R"({"a":1,"\u0061":3})", "x"); }, fails_with("duplicate key \"a\""));
  EXPECT_NO_THROW(parse_json(R"({"a":{"a":1},"b":{"a":1}})", "x"));
}

TEST(ParseJson, DepthIsBounded) {
  EXPECT_NO_THROW(parse_json(repeated("[", 100) + repeated("]", 100), "x"));
  EXPECT_THAT([] { parse_json(repeated("[", 101) + repeated("]", 101), "x"); },
              fails_with("nesting is deeper than 100 levels"));
  EXPECT_THAT([] { parse_json(repeated("{\"a\":", 1'000'000), "x"); },
              fails_with("nesting is deeper than 100 levels"));
}

TEST(ParseJson, NumberOfValuesIsBounded) {
  EXPECT_THAT([] { parse_json("[" + repeated("0,", 5'000'000) + "0]", "x"); },
              fails_with("more than 5000000 values"));
}

TEST(ParseJson, ManyKeysTakeLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i) text += fmt::format("\"{}\":{{\"a\":[1]}},", i);
  const auto start = std::chrono::steady_clock::now();
  const Json json = parse_json(text + "\"last\":0}", "x");
  // A search at every key takes minutes.
  EXPECT_LE(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  EXPECT_EQ(json.size(), 300'001u);
}

TEST(ParseJson, ErrorsStayShort) {
  const std::string name(1'000'000, 'n');
  const auto length = [](const std::string& text) -> size_t {
    try {
      ObjectReader(parse_json(text, "x"), "x").integer("a");
    } catch (const Error& error) {
      return std::strlen(error.what());
    }
    return 0;
  };
  for (const std::string& text : {"[\"" + name, "{\"" + name + "\":1,\"" + name + "\":1}",
                                  R"({"a":")" + name + "\"}", "{\"a\":[" + repeated("0,", 100'000) + "0]}"}) {
    EXPECT_GT(length(text), 0u);
    EXPECT_LT(length(text), 500u);
  }
}

TEST(ReadJsonFile, NamesTheFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_json_file(folder.write("good", "[1]")).dump(), "[1]");
  EXPECT_THAT([&] { read_json_file(folder.write("bad", "[1")); }, fails_with("/bad: not valid JSON"));
  EXPECT_THAT([&] { read_json_file(folder.path()); }, fails_with("expected a file, found a folder"));
  EXPECT_THAT([&] { read_json_file(folder.path() + "/none"); }, fails_with("/none: cannot open the file"));
}

class ObjectReaderTest : public ::testing::Test {
 protected:
  const Json json_ = parse_json(
      R"({"i":-3,"big":9223372036854775808,"d":1.5,"b":true,"s":"x","is":[1,2],"ds":[1,2.5],"o":{"k":1},"n":null,
          "bigs":[9223372036854775808]})",
      "c.json");
  const ObjectReader reader_{json_, "c.json"};
};

TEST_F(ObjectReaderTest, ReadsWhatIsThere) {
  EXPECT_EQ(reader_.integer("i"), -3);
  EXPECT_EQ(reader_.integer_in("i", -3, 3), -3);
  EXPECT_EQ(reader_.number("d"), 1.5);
  EXPECT_EQ(reader_.number("i"), -3);
  EXPECT_TRUE(reader_.boolean("b"));
  EXPECT_EQ(reader_.string("s"), "x");
  EXPECT_THAT(reader_.integers("is"), ::testing::ElementsAre(1, 2));
  EXPECT_THAT(reader_.numbers("ds"), ::testing::ElementsAre(1, 2.5));
  EXPECT_EQ(reader_.object("o").integer("k"), 1);
  EXPECT_TRUE(reader_.has("i"));
  EXPECT_FALSE(reader_.has("n"));
  EXPECT_FALSE(reader_.has("none"));
}

TEST_F(ObjectReaderTest, ErrorsSayKeyExpectedAndFound) {
  EXPECT_THAT([&] { reader_.integer("none"); }, fails_with("c.json: missing key \"none\""));
  EXPECT_THAT([&] { reader_.at("n"); }, fails_with("c.json: missing key \"n\""));
  EXPECT_THAT([&] { reader_.integer("d"); },
              fails_with("c.json: \"d\": expected a 64-bit integer, found 1.5"));
  EXPECT_THAT([&] { reader_.integer("big"); },
              fails_with("expected a 64-bit integer, found 9223372036854775808"));
  EXPECT_THAT([&] { reader_.integers("bigs"); }, fails_with("expected an array of 64-bit integers"));
  EXPECT_THAT([&] { reader_.integers("ds"); },
              fails_with("expected an array of 64-bit integers, found [1,2.5]"));
  EXPECT_THAT([&] { reader_.integer_in("i", 0, 9); },
              fails_with("\"i\": expected a value from 0 to 9, found -3"));
  EXPECT_THAT([&] { reader_.number("s"); }, fails_with("expected a number, found \"x\""));
  EXPECT_THAT([&] { reader_.numbers("o"); }, fails_with("expected an array of numbers"));
  EXPECT_THAT([&] { reader_.boolean("i"); }, fails_with("expected true or false, found -3"));
  EXPECT_THAT([&] { reader_.string("i"); }, fails_with("expected a string, found -3"));
  EXPECT_THAT([&] { reader_.object("i"); }, fails_with("expected an object, found -3"));
  EXPECT_THAT([&] { reader_.object("o").integer("none"); }, fails_with("c.json: o: missing key \"none\""));
  EXPECT_THAT([&] { ObjectReader(json_["is"], "c.json"); },
              fails_with("c.json: expected a JSON object, found array"));
}

TEST_F(ObjectReaderTest, RequireAcceptsAbsentNullOrTheOneValue) {
  EXPECT_NO_THROW(reader_.require("none", 1));
  EXPECT_NO_THROW(reader_.require("n", 1));
  EXPECT_NO_THROW(reader_.require("s", "x"));
  EXPECT_THAT([&] { reader_.require("s", "y"); },
              fails_with("c.json: \"s\": \"x\" is not supported; supported: \"y\""));
}

}  // namespace
}  // namespace qsweep::io
