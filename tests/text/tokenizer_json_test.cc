#include "text/tokenizer_json.h"

#include <functional>

#include "fixtures.h"

namespace qsweep::text {
namespace {

struct BadCase {
  const char* patch;  // JSON merge patch on the good file
  const char* message;
};

TEST(TokenizerJson, RefusesWhatIsNotImplemented) {
  const BadCase cases[] = {
      {R"({"model": {"type": "Unigram", "vocab": []}})",
       R"(t.json: model: "Unigram" is not supported; supported: BPE)"},
      {R"({"model": {"dropout": 0.1}})", R"("dropout": 0.1 is not supported; supported: null)"},
      {R"({"model": {"continuing_subword_prefix": "##"}})",
       R"("continuing_subword_prefix": "##" is not supported)"},
      {R"({"model": {"end_of_word_suffix": "</w>"}})", R"("end_of_word_suffix": "</w>" is not supported)"},
      {R"({"normalizer": {"type": "NFKC"}})",
       R"(t.json: normalizer: "NFKC" is not supported; supported: null, NFC, Prepend, Replace, Sequence of these)"},
      {R"({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}})",
       R"(t.json: normalizer: normalizers[1]: "Lowercase" is not supported)"},
      {R"({"normalizer": {"type": "Sequence", "normalizers": 3}})",
       R"("normalizers": expected an array, found number)"},
      {R"({"normalizer": {"type": "Prepend", "prepend": ""}})",
       R"("prepend": expected a text, found an empty one)"},
      {R"({"normalizer": {"type": "Replace", "pattern": {"Regex": " +"}, "content": "_"}})",
       R"(normalizer: pattern: missing key "String")"},
      {R"({"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": ""}})",
       R"("content": expected a text, found an empty one)"},
      {R"({"normalizer": "NFC"})", R"("normalizer": expected an object, found "NFC")"},
      {R"({"pre_tokenizer": null})",
       R"(t.json: model: "byte_fallback": expected true, as there is no ByteLevel pre-tokenizer, found false)"},
      {R"({"pre_tokenizer": {"type": "Whitespace"}})",
       R"(pre_tokenizer: "Whitespace" is not supported; supported: any number of Split and Digits, then at most one ByteLevel or Metaspace)"},
      {R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "ByteLevel"}]}})",
       R"(pretokenizers[0]: "ByteLevel" is not supported)"},
      {R"({"pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"}})",
       R"("prepend_scheme": expected always, first or never, found "last")"},
      {R"({"decoder": {"type": "WordPiece"}})",
       R"(t.json: decoder: "WordPiece" is not supported; supported: ByteLevel)"},
      {R"({"decoder": null})", R"("decoder": expected ByteLevel, found 0 steps)"},
      {R"({"post_processor": {"type": "BertProcessing"}})",
       R"(post_processor: "BertProcessing" is not supported; supported: null, ByteLevel, at most one TemplateProcessing)"},
  };
  for (const BadCase& bad : cases)
    EXPECT_ERROR(parse_tokenizer(patched_json(Json::parse(bad.patch))), bad.message) << bad.patch;
}

Json with_split(const char* patch) {
  Json json = tiny_tokenizer_json();
  json["pre_tokenizer"]["pretokenizers"][0].merge_patch(Json::parse(patch));
  return json;
}

TEST(TokenizerJson, RefusesOtherSplits) {
  const BadCase cases[] = {
      {R"({"behavior": "Removed"})",
       R"("behavior": "Removed" is not supported; supported: Isolated, MergedWithPrevious)"},
      {R"({"pattern": {"Regex": null}})", R"(pattern: missing key "Regex")"},
      {R"({"pattern": {"Regex": null, "String": ""}})", R"("String": expected a text, found an empty one)"},
      {R"({"pattern": {"Regex": "a(b"}})", R"(pretokenizers[0]: pattern "a(b": does not compile)"},
      {R"({"pattern": {"Regex": "\\w+"}})", R"(pattern "\w+": "\w" is not supported)"},
  };
  for (const BadCase& bad : cases)
    EXPECT_ERROR(parse_tokenizer(with_split(bad.patch)), bad.message) << bad.patch;
}

// Vocabularies that lack control characters are published; other programs leave these out of a text.
TEST(TokenizerJson, BytesWithoutATokenAreRefusedWhereATextHasThem) {
  const Tokenizer tokenizer = parse_tokenizer(patched_json({{"model", {{"vocab", {{"\u0104", nullptr}}}}}}));
  EXPECT_EQ(tokenizer.encode("the"), tiny_tokenizer().encode("the"));
  EXPECT_ERROR(tokenizer.encode("the\x04"), "the tokenizer has no token for the byte 0x04 of the text");
}

TEST(TokenizerJson, ChecksTheVocabularyAndTheMerges) {
  const BadCase cases[] = {
      {R"({"model": {"vocab": {"the": -1}}})",
       R"(vocab: "the": expected an id from 0 to 16777215, found -1)"},
      {R"({"model": {"vocab": {"the": 16777216}}})", R"(expected an id from 0 to 16777215, found 16777216)"},
      {R"({"model": {"vocab": {"the": 18446744073709551615}}})", "found 18446744073709551615"},
      {R"({"model": {"vocab": {"the": 1.5}}})", R"(expected an id from 0 to 16777215, found 1.5)"},
      {R"({"model": {"vocab": {"the": {"a": 1}}}})", R"(found object)"},
      {R"({"model": {"vocab": {"new": 7}}})", R"(t.json: model: vocab: "new": id 7 is used more than once)"},
      {R"({"model": {"vocab": 3}})", R"("vocab": expected an object, found 3)"},
      {R"({"model": {"vocab": null}})", R"(t.json: model: missing key "vocab")"},
      {R"({"model": {"merges": null}})", R"(t.json: model: missing key "merges")"},
      {R"({"model": {"merges": {}}})", R"("merges": expected an array, found object)"},
      {R"({"model": {"merges": ["a b c"]}})",
       R"(merges[0]: expected "left right" or ["left", "right"], found "a b c")"},
      {R"({"model": {"merges": [["a", "b"], ["a"]]}})", R"(merges[0]: "ab" is not in the vocabulary)"},
      {R"({"model": {"merges": [["h", "e"], ["a"]]}})",
       R"(merges[1]: expected "left right" or ["left", "right"])"},
      {R"({"model": {"merges": ["nope e"]}})", R"(merges[0]: "nope" is not in the vocabulary)"},
      {R"({"model": null})", R"(t.json: missing key "model")"},
  };
  for (const BadCase& bad : cases)
    EXPECT_ERROR(parse_tokenizer(patched_json(Json::parse(bad.patch))), bad.message) << bad.patch;
}

TEST(TokenizerJson, ChecksAddedTokens) {
  const BadCase cases[] = {
      {R"({"id": 1049})", R"(added_tokens[1]: "<|im_start|>": id 1049 belongs to another token)"},
      {R"({"id": 5})", R"("<|endoftext|>": id 5 belongs to another token)"},
      {R"({"id": -1})", R"("id": expected a value from 0 to 16777215, found -1)"},
      {R"({"content": "<|im_start|>"})", R"(added_tokens[1]: "<|im_start|>" is added twice)"},
      {R"({"content": "!"})", R"("!" has id 1048, but id 0 in the vocabulary)"},
      {R"({"content": ""})", R"("content": expected 1 to 1024 bytes, found 0)"},
      {R"({"content": null})", R"(added_tokens[0]: missing key "content")"},
      {R"({"single_word": true})", R"("single_word": true is not supported; supported: false)"},
      {R"({"special": 1})", R"("special": expected true or false, found 1)"},
  };
  for (const BadCase& bad : cases) {
    Json json = tiny_tokenizer_json();
    json["added_tokens"][0].merge_patch(Json::parse(bad.patch));
    EXPECT_ERROR(parse_tokenizer(json), bad.message) << bad.patch;
  }
  EXPECT_ERROR(parse_tokenizer(patched_json({{"added_tokens", "x"}})),
               R"("added_tokens": expected an array)");
}

TEST(TokenizerJson, ChecksTemplates) {
  const BadCase cases[] = {
      {R"({"single": []})", R"("single": expected an array with one Sequence, found 0)"},
      {R"({"single": [{"Sequence": {"id": "A"}}, {"Sequence": {"id": "A"}}]})",
       "expected an array with one Sequence"},
      {R"({"single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]})", R"(missing key "<s>")"},
      {R"({"special_tokens": {"<x>": {"ids": [-1]}}})", R"("ids": expected 0 to 16777215, found -1)"},
      {R"({"special_tokens": {"<x>": {"ids": [5000]}}})",
       R"(t.json: post_processor: id 5000 is not a token)"},
  };
  for (const BadCase& bad : cases) {
    Json processor = Json::parse(R"({"type": "TemplateProcessing", "special_tokens": {"<x>": {"ids": [1048]}},
                                     "single": [{"SpecialToken": {"id": "<x>"}}, {"Sequence": {"id": "A"}}]})");
    processor.merge_patch(Json::parse(bad.patch));
    EXPECT_ERROR(parse_tokenizer(patched_json({{"post_processor", processor}})), bad.message) << bad.patch;
  }
}

TEST(TokenizerJson, RefusesBrokenJson) {
  const auto parse = [](const std::string& json) { return Tokenizer::parse(json, "t.json"); };
  EXPECT_ERROR(parse(""), "t.json: not valid JSON");
  EXPECT_ERROR(parse("[]"), "t.json: expected a JSON object, found array");
  EXPECT_ERROR(parse("{\"a\":1,\"a\":2}"), "t.json: duplicate key \"a\"");
  EXPECT_ERROR(parse(R"({"model": {"vocab": {"a": 1, "a": 2}}})"), "t.json: duplicate key \"a\"");
  EXPECT_ERROR(parse("{\"a\": \"\xFF\"}"), "t.json: not valid JSON");
  EXPECT_ERROR(parse(std::string(1000, '[')), "t.json: nesting is deeper than 100 levels");
  EXPECT_ERROR(Tokenizer::load(testdata("no such file")), "no such file: cannot open");
  EXPECT_ERROR(Tokenizer::load(testdata("")), testdata("") + ": ");
}

}  // namespace
}  // namespace qsweep::text
