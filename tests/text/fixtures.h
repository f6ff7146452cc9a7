// What the tests of this module share: test data, variants of the tokenizer, and the text of an Error.
#pragma once

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/json.h"
#include "text/tokenizer.h"

namespace qsweep::text {

using io::Json;

inline std::string testdata(const std::string& path) { return std::string(QSWEEP_TESTDATA) + "/" + path; }

inline const Json& tiny_tokenizer_json() {
  static const Json json = io::read_json_file(testdata("tiny-qwen2.5-vl/tokenizer.json"));
  return json;
}

inline const Tokenizer& tiny_tokenizer() {
  static const Tokenizer tokenizer = Tokenizer::load(testdata("tiny-qwen2.5-vl/tokenizer.json"));
  return tokenizer;
}

inline Tokenizer parse_tokenizer(const Json& json) { return Tokenizer::parse(json.dump(), "t.json"); }

// The tokenizer with a JSON merge patch (RFC 7386) applied to its file.
inline Json patched_json(const Json& patch) {
  Json json = tiny_tokenizer_json();
  json.merge_patch(patch);
  return json;
}

// That the spans of `tokens` follow each other and leave out nothing of the text.
inline void expect_covered(const std::vector<Token>& tokens, const std::string& text) {
  size_t end = 0, begin = 0;
  for (const Token& token : tokens) {
    EXPECT_LT(token.span.begin, token.span.end) << text;
    EXPECT_GE(token.span.begin, begin) << text;
    EXPECT_LE(token.span.begin, end) << text;
    begin = token.span.begin;
    end = std::max(end, token.span.end);
  }
  EXPECT_EQ(end, text.size()) << text;
}

// The message of the Error that body throws; empty if it throws none.
template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

#define EXPECT_ERROR(statement, part) \
  EXPECT_THAT(error_of([&] { (void)(statement); }), ::testing::HasSubstr(part))

}  // namespace qsweep::text
