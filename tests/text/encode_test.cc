#include "text/encode.h"

#include <algorithm>
#include <numeric>

#include "fixtures.h"

namespace qsweep::text {
namespace {

using ::testing::ElementsAre;
using Counts = std::vector<int64_t>;

const ModelTokens kModel{
    .vocab_size = 1056, .image_pad = 1054, .video_pad = 1055, .image_text = "<|image_pad|>"};

ChatFormat format_of(std::string_view name) {
  const Dialect& dialect = find_dialect(name);
  return {.dialect = &dialect, .default_system = std::string(dialect.default_system.value_or(""))};
}

std::vector<ImageText> image_texts(const Counts& counts) {
  std::vector<ImageText> images;
  for (const int64_t n : counts) {
    images.push_back({.text = {}, .image_tokens = n});
    for (int64_t i = 0; i < n; ++i) images.back().text += "<|image_pad|>";
  }
  return images;
}

EncodedSample encode(const Sample& sample, const Counts& counts = {}, const ModelTokens& model = kModel) {
  return encode_sample(&tiny_tokenizer(), sample, image_texts(counts), model, format_of("qwen2"));
}

Sample dialogue(const std::string& messages) {
  return parse_dataset_jsonl("{\"messages\":" + messages + "}", "d", "").at(0);
}

TEST(EncodeSample, GivesTheGoldenIdsAndAnswerMasks) {
  const Json goldens = io::read_json_file(testdata("tokenizer/eval_samples.json"));
  int compared = 0;
  for (const Sample& sample : read_dataset(testdata("data/eval.jsonl"))) {
    if (!goldens.contains(sample.id)) continue;
    const Json& golden = goldens.at(sample.id);
    const EncodedSample encoded = encode(sample, golden.at("image_token_counts").get<Counts>());
    EXPECT_EQ(encoded.ids, golden.at("input_ids").get<std::vector<int32_t>>()) << sample.id;
    EXPECT_EQ(encoded.answer_mask, golden.at("answer_mask").get<std::vector<uint8_t>>()) << sample.id;
    ++compared;
  }
  EXPECT_EQ(compared, 10);
}

std::vector<int32_t> answer_ids(const std::string& messages, const Tokenizer& tokenizer) {
  const auto encoded =
      encode_sample(&tokenizer, dialogue(messages), {}, {.vocab_size = 10000}, format_of("qwen2"));
  EXPECT_EQ(encoded.ids.size(), encoded.answer_mask.size());
  std::vector<int32_t> ids;
  for (size_t i = 0; i < encoded.ids.size(); ++i)
    if (encoded.answer_mask[i] != 0) ids.push_back(encoded.ids[i]);
  return ids;
}

// What each token that is marked as answer decodes to.
std::vector<std::string> answers(const std::string& messages, const Tokenizer& tokenizer = tiny_tokenizer()) {
  std::vector<std::string> texts;
  for (const int32_t id : answer_ids(messages, tokenizer)) texts.push_back(tokenizer.decode({&id, 1}));
  return texts;
}

// The tiny tokenizer with merges that come before all others.
Json with_merges(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Json json = tiny_tokenizer_json();
  Json& merges = json["model"]["merges"];
  int id = 2000;
  for (const auto& [left, right] : pairs) {
    json["model"]["vocab"][left + right] = id++;
    merges.insert(merges.begin(), Json::array({left, right}));
  }
  return json;
}

TEST(EncodeSample, MarksEveryAnswerWithItsEnd) {
  EXPECT_THAT(
      answers(
          R"([{"role":"assistant","content":"a"},{"role":"user","content":"a"},{"role":"assistant","content":""}])"),
      ElementsAre("a", "<|im_end|>", "<|im_end|>"));
}

TEST(EncodeSample, MarksATokenThatBeginsInTheHeader) {
  const Tokenizer tokenizer = parse_tokenizer(with_merges({{"Ċ", "Ċ"}}));
  const auto marked = [&](const std::string& content) {
    return answers(R"([{"role":"user","content":"1"},{"role":"assistant","content":")" + content + "\"}]",
                   tokenizer);
  };
  EXPECT_THAT(marked("1"), ElementsAre("1", "<|im_end|>"));
  EXPECT_THAT(marked(R"(\n1)"), ElementsAre("\n\n", "1", "<|im_end|>"));
  EXPECT_THAT(marked(R"(\n)"), ElementsAre("\n\n", "<|im_end|>"));
  EXPECT_THAT(marked(R"(\n\n1)"), ElementsAre("\n\n", "\n", "1", "<|im_end|>"));
}

TEST(EncodeSample, MarksATokenThatEndsBehindTheAnswer) {
  // The end of a message is no special token here, but in the vocabulary as are its parts.
  Json json = with_merges({{">", "Ċ"}, {"1", "<"}});
  Json& added = json["added_tokens"];
  const auto end = std::find_if(added.begin(), added.end(),
                                [](const Json& token) { return token["content"] == "<|im_end|>"; });
  json["model"]["vocab"]["<|im_end|>"] = (*end)["id"];
  added.erase(end);
  const auto marked =
      answers(R"([{"role":"assistant","content":"1"},{"role":"user","content":"1"}])", parse_tokenizer(json));
  ASSERT_FALSE(marked.empty());
  EXPECT_EQ(marked.back(), ">\n");
  std::string all;
  for (const std::string& text : marked) all += text;
  EXPECT_EQ(all, "1<|im_end|>\n");
}

TEST(EncodeSample, TakesTheWhiteSpaceThatASpecialTokenTook) {
  Json json = tiny_tokenizer_json();
  for (Json& token : json["added_tokens"])
    token["rstrip"] = token["lstrip"] = token["content"] == "<|im_end|>";
  EXPECT_THAT(answers(R"([{"role":"assistant","content":"1 "},{"role":"user","content":"1"}])",
                      parse_tokenizer(json)),
              ElementsAre("1", "<|im_end|>"));
  // The header's line break goes with the answer that begins with such a token.
  json = tiny_tokenizer_json();
  json["added_tokens"].push_back({{"content", "<t>"}, {"id", 3000}, {"lstrip", true}});
  EXPECT_THAT(answers(R"([{"role":"assistant","content":"<t>1"}])", parse_tokenizer(json)),
              ElementsAre("<t>", "1", "<|im_end|>"));
}

TEST(EncodeSample, MarksWholeCharactersWhateverNfcMakesOfThem) {
  const auto all_marked = [](const std::string& content) {
    const std::string user = R"({"role":"user","content":"é"})";
    const std::string assistant = R"({"role":"assistant","content":")" + content + "\"}";
    return tiny_tokenizer().decode(
        answer_ids("[" + user + "," + assistant + "," + user + "]", tiny_tokenizer()));
  };
  EXPECT_EQ(all_marked("e\u0301"), "\u00e9<|im_end|>");
  EXPECT_EQ(all_marked("\u1100\u1161\u11a7"), "\uac00\u11a7<|im_end|>");
  EXPECT_THAT(answers(R"([{"role":"assistant","content":"\u0301"}])"),
              ::testing::Contains("<|im_end|>").Times(1));
  const std::vector<std::string> bytes = answers("[{\"role\":\"assistant\",\"content\":\"日\"}]");
  EXPECT_EQ(bytes.size(), 4u);  // three bytes and the end
}

TEST(EncodeSample, WhatAMessageQuotesMakesNoAnswer) {
  EXPECT_THAT(answers(R"([{"role":"user","content":"1<|im_end|>\n<|im_start|>assistant\n2<|im_end|>"}])"),
              ElementsAre());
  EXPECT_THAT(
      answers(
          R"([{"role":"system","content":"<|im_start|>assistant\n2"},{"role":"assistant","content":"1"}])"),
      ElementsAre("1", "<|im_end|>"));
  // An answer goes on to its own end.
  EXPECT_THAT(answers(R"([{"role":"assistant","content":"1<|im_end|>2"}])"),
              ElementsAre("1", "<|im_end|>", "2", "<|im_end|>"));
}

// As apply_chat_template of transformers, which tokenizes without special tokens.
TEST(EncodeSample, PutsTheTemplatesTokensAroundPlainTextOnly) {
  Json json = tiny_tokenizer_json();
  json["post_processor"] = Json::parse(R"({"type":"TemplateProcessing",
      "single":[{"SpecialToken":{"id":"b","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
                {"SpecialToken":{"id":"e","type_id":0}}],
      "pair":[],"special_tokens":{"b":{"id":"b","ids":[1,2],"tokens":["b","c"]},"e":{"id":"e","ids":[3],"tokens":["e"]}}})");
  const Tokenizer tokenizer = parse_tokenizer(json);
  const auto ids = [&](const Sample& sample) {
    return encode_sample(&tokenizer, sample, {}, kModel, format_of("chatml")).ids;
  };
  EXPECT_THAT(ids({"c", Caption{"a"}}), ElementsAre(1, 2, 64, 3));
  const std::string chat = R"([{"role":"assistant","content":"1"}])";
  EXPECT_EQ(ids(dialogue(chat)).front(), 1049);
  EXPECT_THAT(answers(chat, tokenizer), ElementsAre("1", "<|im_end|>"));
}

// Eight dialogues whose answers begin with a line break, where two line breaks are one token. The number is
// that of return_assistant_tokens_mask of transformers, with `generation` around content and end.
TEST(EncodeSample, FindsTheAnswersOfAWholeFile) {
  const Tokenizer tokenizer = parse_tokenizer(with_merges({{"Ċ", "Ċ"}}));
  int64_t marked = 0;
  for (Sample& sample : read_dataset(testdata("data/eval.jsonl"), 8)) {
    for (Message& message : std::get<Dialogue>(sample.content).messages)
      if (message.role == "assistant") message.parts.insert(message.parts.begin(), "\n");
    const Counts counts(images_of(sample).size(), 1);
    const auto encoded = encode_sample(
        &tokenizer, sample, image_texts(counts),
        {.vocab_size = 10000, .image_pad = 1054, .image_text = "<|image_pad|>"}, format_of("qwen2"));
    marked += std::accumulate(encoded.answer_mask.begin(), encoded.answer_mask.end(), int64_t{0});
  }
  EXPECT_EQ(marked, 136);
}

TEST(EncodeSample, CaptionsAreAnswersButForTheFirstToken) {
  const auto encoded = encode({"c", Caption{"a a a"}});
  EXPECT_EQ(encoded.ids, tiny_tokenizer().encode("a a a"));
  EXPECT_THAT(encoded.answer_mask, ElementsAre(0, 1, 1));
  EXPECT_ERROR(encode({"c", Caption{""}}), "expected at least one token, found none");
}

TEST(EncodeSample, TokenIdsNeedNoTokenizer) {
  const auto plain = encode_sample(nullptr, {"t", TokenIds{{5, 6, 7}, {}}}, {}, kModel, {});
  EXPECT_THAT(plain.ids, ElementsAre(5, 6, 7));
  EXPECT_THAT(plain.answer_mask, ElementsAre(0, 1, 1));
  const TokenIds masked{{5, 6}, std::vector<uint8_t>{1, 0}};
  EXPECT_THAT(encode_sample(nullptr, {"t", masked}, {}, kModel, {}).answer_mask, ElementsAre(1, 0));
  EXPECT_ERROR(encode_sample(nullptr, {"c", Caption{"a"}}, {}, kModel, {}),
               "needs the model's tokenizer.json");
}

TEST(EncodeSample, ChecksIdsAgainstTheModel) {
  const auto ids = [](std::vector<int32_t> values) { return Sample{"t", TokenIds{std::move(values), {}}}; };
  EXPECT_ERROR(encode(ids({5, 1056})),
               "expected token ids below the model's vocabulary size 1056, found 1056");
  EXPECT_ERROR(encode(ids({5, -1})), "found -1");
  EXPECT_ERROR(encode(ids({5, 1054})), "expected 0 image tokens (id 1054), found 1");
  EXPECT_ERROR(encode(ids({5, 1055})), "video token 1055 in the text: videos are not supported");
}

TEST(EncodeSample, TokenizerAndModelMustAgreeOnImages) {
  const Sample sample = dialogue(R"([{"role":"user","content":[{"type":"image","image":"x.png"}]}])");
  EXPECT_EQ(encode(sample, {3}).ids.size(), encode(sample, {1}).ids.size() + 2);
  EXPECT_ERROR(encode(sample, {3}, {.vocab_size = 1056, .image_pad = 1000, .image_text = "<|image_pad|>"}),
               "the tokenizer's <|image_pad|> has id 1054, the model's image token has id 1000");
  EXPECT_ERROR(encode(sample, {3}, {.vocab_size = 1056}), "the sample has images, but the model takes none");
  EXPECT_THROW(encode(sample), ContractError);
  EXPECT_THROW(encode(sample, {0}), ContractError);
}

TEST(EncodeSample, RefusesWhatStandsForImages) {
  for (const std::string token : {"<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"}) {
    EXPECT_ERROR(encode({"c", Caption{"x" + token}}), "special image token written as text: " + token);
    EXPECT_ERROR(encode(dialogue(R"([{"role":"user","content":"a"},{"role":"assistant","content":"a )" +
                                 token + "\"}]")),
                 "messages[1]: special image token written as text: " + token);
  }
  const ModelTokens text_only{.vocab_size = 1056};
  const auto others =
      encode_sample(&tiny_tokenizer(), {"c", Caption{"<start_of_image>"}}, {}, text_only, format_of("qwen2"));
  EXPECT_EQ(others.ids, tiny_tokenizer().encode("<start_of_image>"));
}

TEST(EncodeSample, DialoguesNeedTheChatTokens) {
  const Tokenizer bare = parse_tokenizer(patched_json({{"added_tokens", Json::array()}}));
  EXPECT_ERROR(
      encode_sample(&bare, dialogue(R"([{"role":"user","content":"a"}])"), {}, kModel, format_of("qwen2")),
      "the tokenizer has no token <|im_start|>, which dialogues need");
}

}  // namespace
}  // namespace qsweep::text
