#include "text/encode.h"

#include <numeric>

#include "fixtures.h"

namespace qsweep::text {
namespace {

using testing::ElementsAre;
using Counts = std::vector<int64_t>;

const ModelTokens kModel{.vocab_size = 1056, .image_pad = 1054, .video_pad = 1055};

EncodedSample encode(const Sample& sample, const Counts& counts = {}, const ModelTokens& model = kModel) {
  return encode_sample(&tiny_tokenizer(), sample, counts, model);
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

TEST(EncodeSample, MarksEveryAnswerWithItsEnd) {
  const auto encoded = encode(dialogue(
      R"([{"role":"assistant","content":"a"},{"role":"user","content":"a"},{"role":"assistant","content":""}])"));
  std::vector<int32_t> answers;
  for (size_t i = 0; i < encoded.ids.size(); ++i)
    if (encoded.answer_mask[i] != 0) answers.push_back(encoded.ids[i]);
  EXPECT_THAT(answers, ElementsAre(64, 1050, 1050));
}

TEST(EncodeSample, CaptionsAreAnswersButForTheFirstToken) {
  const auto encoded = encode({"c", Caption{"a a a"}});
  EXPECT_EQ(encoded.ids, tiny_tokenizer().encode("a a a"));
  EXPECT_THAT(encoded.answer_mask, ElementsAre(0, 1, 1));
  EXPECT_ERROR(encode({"c", Caption{""}}), "expected at least one token, found none");
}

TEST(EncodeSample, TokenIdsNeedNoTokenizer) {
  const auto plain = encode_sample(nullptr, {"t", TokenIds{{5, 6, 7}, {}}}, {}, kModel);
  EXPECT_THAT(plain.ids, ElementsAre(5, 6, 7));
  EXPECT_THAT(plain.answer_mask, ElementsAre(0, 1, 1));
  const TokenIds masked{{5, 6}, std::vector<uint8_t>{1, 0}};
  EXPECT_THAT(encode_sample(nullptr, {"t", masked}, {}, kModel).answer_mask, ElementsAre(1, 0));
  EXPECT_ERROR(encode_sample(nullptr, {"c", Caption{"a"}}, {}, kModel), "needs the model's tokenizer.json");
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
  EXPECT_ERROR(encode(sample, {3}, {.vocab_size = 1056, .image_pad = 1000, .video_pad = {}}),
               "the tokenizer's <|image_pad|> has id 1054, the model's image token has id 1000");
  EXPECT_ERROR(encode(sample, {3}, {.vocab_size = 1056, .image_pad = {}, .video_pad = {}}),
               "the sample has images, but the model takes none");
  EXPECT_THROW(encode(sample), ContractError);
  EXPECT_THROW(encode(sample, {0}), ContractError);
}

TEST(EncodeSample, DialoguesNeedTheChatTokens) {
  const Tokenizer bare = parse_tokenizer(patched_json({{"added_tokens", Json::array()}}));
  EXPECT_ERROR(encode_sample(&bare, dialogue(R"([{"role":"user","content":"a"}])"), {}, kModel),
               "the tokenizer has no token <|im_end|>, which dialogues need");
}

}  // namespace
}  // namespace qsweep::text
