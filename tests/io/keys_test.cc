#include "io/keys.h"

#include "test_files.h"

namespace qsweep::io {
namespace {

constexpr KnownKey kFirst[] = {{"read"}, {"ignored", KeyUse::ignored}, {"off", KeyUse::only, "false"}};
constexpr KnownKey kSecond[] = {{"one", KeyUse::only, "1"}, {"off", KeyUse::only, "\"no\""}};

void check(const std::string& text) {
  const Json json = parse_json(text, "text");
  check_keys(ObjectReader(json, "file"), {kFirst, kSecond});
}

TEST(Keys, OfAllTablesAreKnown) {
  EXPECT_NO_THROW(check("{}"));
  EXPECT_NO_THROW(check(R"({"read": [1], "ignored": {"any": "thing"}, "off": false, "one": 1})"));
  EXPECT_NO_THROW(check(R"({"off": "no", "one": 1.0})"));
}

TEST(Keys, NullIsAsGoodAsAbsent) { EXPECT_NO_THROW(check(R"({"off": null, "unheard_of": null})")); }

TEST(Keys, WhatNoTableHasIsRefused) {
  EXPECT_THAT([] { check(R"({"read": 1, "unheard_of": 30.5})"); },
              fails_with("file: \"unheard_of\": the key is not known and may change the meaning; found the "
                         "value 30.5"));
  EXPECT_THAT([] { check(R"({"unheard_of": false})"); }, fails_with("unheard_of"));
  EXPECT_THAT([] { check(R"({"rea": 1})"); }, fails_with("\"rea\""));
}

TEST(Keys, OtherValuesAreRefused) {
  EXPECT_THAT([] { check(R"({"off": true})"); },
              fails_with("file: \"off\": true is not supported; supported: false, \"no\""));
  EXPECT_THAT([] { check(R"({"one": 2})"); }, fails_with("\"one\": 2 is not supported; supported: 1"));
}

TEST(Keys, ErrorsQuoteLittle) {
  try {
    check("{\"" + std::string(5000, 'k') + "\": \"" + std::string(5000, 'v') + "\"}");
    FAIL();
  } catch (const Error& e) {
    EXPECT_LE(std::string(e.what()).size(), 700u);
  }
}

}  // namespace
}  // namespace qsweep::io
