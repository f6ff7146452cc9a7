#include "recipe/recipe.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/temporary_folder.h"

namespace qsweep::recipe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<std::string> kOps{"visual.blocks.0.attn.qkv", "model.layers.0.mlp.up_proj",
                                    "model.layers.1.mlp.up_proj", "model.layers.10.mlp.up_proj", "lm_head"};

Recipe with_rules(const std::string& rules) {
  return parse_recipe(R"({"name": "mine", "rules": [)" + rules + "]}", "folder/mine.json");
}

// Names of the formats per op of kOps, "-" for float.
std::vector<std::string> formats(const std::string& rules) {
  std::vector<std::string> names;
  for (const quant::Format* format : formats_of(with_rules(rules), kOps))
    names.push_back(format == nullptr ? "-" : std::string(format->name));
  return names;
}

template <class Body>
void expect_error(Body&& body, const std::vector<std::string>& words) {
  try {
    body();
    FAIL() << "no Error, expected one with " << ::testing::PrintToString(words);
  } catch (const Error& e) {
    for (const std::string& word : words) EXPECT_THAT(e.what(), HasSubstr(word));
  }
}

void expect_refused(const std::string& text, std::vector<std::string> words) {
  words.emplace_back("folder/mine.json");
  expect_error([&] { parse_recipe(text, "folder/mine.json"); }, words);
}

TEST(Recipe, HasNameFileAndRules) {
  const Recipe recipe =
      with_rules(R"({"ops": "lm_head", "format": "w4a8"}, {"ops": "*", "format": "float"})");
  EXPECT_EQ(recipe.name, "mine");
  EXPECT_EQ(recipe.file_name, "mine.json");
  ASSERT_EQ(recipe.rules.size(), 2u);
  EXPECT_EQ(recipe.rules[0].ops, "lm_head");
  EXPECT_EQ(recipe.rules[0].format, &quant::find_format("w4a8"));
  EXPECT_EQ(recipe.rules[1].format, nullptr);
}

TEST(Recipe, OpsWithoutARuleStayFloat) {
  EXPECT_THAT(formats(R"({"ops": "lm_head", "format": "w4a8"})"), ElementsAre("-", "-", "-", "-", "w4a8"));
}

TEST(Recipe, PatternsAreThoseOfTheShellAndCrossDots) {
  EXPECT_THAT(formats(R"({"ops": "model.*", "format": "w8a8"})"),
              ElementsAre("-", "w8a8", "w8a8", "w8a8", "-"));
  EXPECT_THAT(formats(R"({"ops": "*.up_proj", "format": "fp8"})"),
              ElementsAre("-", "fp8", "fp8", "fp8", "-"));
  EXPECT_THAT(formats(R"({"ops": "model.layers.?.*", "format": "w8a8"})"),
              ElementsAre("-", "w8a8", "w8a8", "-", "-"));
  EXPECT_THAT(formats(R"({"ops": "model.layers.[!0].*", "format": "w8a8"})"),
              ElementsAre("-", "-", "w8a8", "-", "-"));
  EXPECT_THAT(formats(R"({"ops": "*", "format": "inc_w8a8"})"), ::testing::Each("inc_w8a8"));
}

TEST(Recipe, LaterRulesOverride) {
  EXPECT_THAT(formats(R"({"ops": "*", "format": "w8a8"}, {"ops": "*.mlp.*", "format": "w4a8"},
                         {"ops": "model.layers.0.*", "format": "nvfp4"}, {"ops": "lm_head", "format": "float"})"),
              ElementsAre("w8a8", "nvfp4", "w4a8", "w4a8", "-"));
  EXPECT_THAT(formats(R"({"ops": "lm_head", "format": "w4a8"}, {"ops": "*", "format": "w8a8"})"),
              ::testing::Each("w8a8"));
  EXPECT_THAT(formats(R"({"ops": "*", "format": "float"}, {"ops": "lm_head", "format": "w8a8"})"),
              ElementsAre("-", "-", "-", "-", "w8a8"));
}

TEST(Recipe, ARuleThatMatchesNothingIsAnError) {
  for (const std::string ops : {"", "model.layers.2.*", "MODEL.*", "up_proj", "model.layers.[0", "lm_head "})
    expect_error(
        [&] { formats(R"({"ops": "*", "format": "w8a8"}, {"ops": ")" + ops + R"(", "format": "float"})"); },
        {"mine.json", "no op matches \"" + ops + "\""});
  expect_error([] { formats_of(with_rules(R"({"ops": "*", "format": "w8a8"})"), {}); },
               {"no op matches \"*\""});
}

TEST(Recipe, TextsThatAreNoRecipe) {
  expect_refused("", {"not valid JSON"});
  expect_refused("{", {"not valid JSON"});
  expect_refused("[]", {"expected a JSON object", "array"});
  expect_refused("{}", {"missing key \"name\""});
  expect_refused(R"({"name": "a"})", {"missing key \"rules\""});
  expect_refused(R"({"name": "a", "rules": [], "rules": []})", {"rules"});
  expect_refused(R"({"name": 1, "rules": []})", {"\"name\"", "expected a string", "found"});
  expect_refused(R"({"name": "", "rules": []})", {"\"name\"", "expected a name, found an empty string"});
  expect_refused(R"({"name": "a", "rules": [], "bits": 4})", {"unknown key \"bits\"", "known: name, rules"});
  for (const std::string rules : {"[]", "{}", "\"*\"", "4"})
    expect_refused(R"({"name": "a", "rules": )" + rules + "}",
                   {"\"rules\"", "expected an array of at least one rule", rules});
}

TEST(Recipe, RulesThatAreNone) {
  const auto refused = [](const std::string& rule, std::vector<std::string> words) {
    words.emplace_back("rules[1]");
    expect_refused(R"({"name": "a", "rules": [{"ops": "*", "format": "w8a8"}, )" + rule + "]}", words);
  };
  refused("7", {"expected a JSON object", "number"});
  refused("{}", {"missing key \"ops\""});
  refused(R"({"format": "w8a8"})", {"missing key \"ops\""});
  refused(R"({"ops": "*"})", {"missing key \"format\""});
  refused(R"({"ops": ["*"], "format": "w8a8"})", {"\"ops\"", "expected a string"});
  refused(R"({"ops": "*", "format": 8})", {"\"format\"", "expected a string"});
  refused(R"({"ops": "*", "format": null})", {"\"format\""});
  refused(R"({"ops": "*", "format": "w3a3"})", {"w3a3", "\"float\"", "w8a8, w8a8_static"});
  refused(R"({"ops": "*", "format": "int"})", {"unknown format \"int\"", "w8a8"});
  refused(R"({"ops": "*", "format": "w8a8", "bits": 8})", {"unknown key \"bits\"", "known: ops, format"});
}

TEST(Recipe, OfFormatsIsReadBack) {
  const std::map<std::string, std::string> mixed{{"lm_head", "w4a8"},
                                                 {"model.layers.10.mlp.up_proj", "nvfp4"}};
  const Recipe recipe = recipe_of("a \"name\"", mixed, kOps);
  EXPECT_EQ(recipe.rules.size(), 2u);
  const Recipe read = parse_recipe(to_text(recipe), "mine.json");
  EXPECT_EQ(read.name, "a \"name\"");
  EXPECT_EQ(formats_of(read, kOps), formats_of(recipe, kOps));
  EXPECT_EQ(formats_of(read, kOps)[3], &quant::find_format("nvfp4"));
  EXPECT_EQ(formats_of(read, kOps)[1], nullptr);
  const Recipe all_float = parse_recipe(to_text(recipe_of("none", {}, kOps)), "mine.json");
  EXPECT_THAT(formats_of(all_float, kOps), ::testing::Each(nullptr));
  const std::vector<std::string> pattern{"model.*", "model.a"};
  expect_error([&] { recipe_of("odd", {{"model.*", "w8a8"}}, pattern); }, {"odd", "no patterns", "model.a"});
}

TEST(Recipe, FilesAreRead) {
  const testing::TemporaryFolder folder;
  const std::string path =
      folder.write("mine.json", R"({"name": "from a file", "rules": [{"ops": "*", "format": "w8a8"}]})");
  const Recipe recipe = read_recipe(path);
  std::filesystem::remove(path);
  EXPECT_EQ(recipe.name, "from a file");
  EXPECT_EQ(recipe.file_name, "mine.json");
  expect_error([&] { read_recipe(path); }, {path, "cannot open"});
  expect_error([&] { read_recipe(folder.path()); }, {"expected a file, found a folder"});
}

}  // namespace
}  // namespace qsweep::recipe
