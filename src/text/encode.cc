#include "text/encode.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>

#include "base/error.h"

namespace qsweep::text {
namespace {

int32_t required_token(const Tokenizer& tokenizer, std::string_view token) {
  const auto id = tokenizer.id_of(token);
  if (!id) fail("the tokenizer has no token {}, which dialogues need", token);
  return *id;
}

// 1 for every token that holds a byte of a span, 0 for the others. Both are in order.
std::vector<uint8_t> tokens_within(std::span<const Token> tokens, std::span<const Span> spans) {
  std::vector<uint8_t> mask;
  auto span = spans.begin();
  for (const Token& token : tokens) {
    while (span != spans.end() && span->end <= token.span.begin) ++span;
    mask.push_back(span != spans.end() && span->begin < token.span.end);
  }
  return mask;
}

std::vector<uint8_t> all_but_the_first(size_t n) {
  std::vector<uint8_t> mask(n, 1);
  if (n > 0) mask[0] = 0;
  return mask;
}

// The tokenizer and the model must mean the same by an image token.
void check_image_token(const Tokenizer& tokenizer, const ModelTokens& model) {
  if (!model.image_pad) fail("the sample has images, but the model takes none");
  const int32_t id = required_token(tokenizer, kImagePad);
  if (id != *model.image_pad)
    fail("the tokenizer's {} has id {}, the model's image token has id {}", kImagePad, id, *model.image_pad);
}

EncodedSample encode_dialogue(const Tokenizer& tokenizer, const Dialogue& dialogue,
                              std::span<const int64_t> counts, const ModelTokens& model) {
  if (!counts.empty()) check_image_token(tokenizer, model);
  for (const std::string_view token : {kMessageStart, kMessageEnd}) required_token(tokenizer, token);
  const ChatPrompt prompt = chatml_prompt(dialogue.messages, counts, false);
  const std::vector<Token> tokens = tokenizer.tokenize(prompt.text);
  std::vector<int32_t> ids;
  for (const Token& token : tokens) ids.push_back(token.id);
  EncodedSample encoded{.ids = tokenizer.with_template(ids),
                        .answer_mask = std::vector<uint8_t>(tokenizer.template_tokens_before(), 0)};
  const std::vector<uint8_t> mask = tokens_within(tokens, prompt.answers);
  encoded.answer_mask.insert(encoded.answer_mask.end(), mask.begin(), mask.end());
  encoded.answer_mask.resize(encoded.ids.size(), 0);
  return encoded;
}

void check_ids(const std::vector<int32_t>& ids, int64_t n_image_tokens, const ModelTokens& model) {
  if (ids.empty()) fail("expected at least one token, found none");
  int64_t found = 0;
  for (const int32_t id : ids) {
    if (id < 0 || id >= model.vocab_size)
      fail("expected token ids below the model's vocabulary size {}, found {}", model.vocab_size, id);
    if (id == model.video_pad) fail("video token {} in the text: videos are not supported", id);
    if (id == model.image_pad) ++found;
  }
  if (found != n_image_tokens)
    fail("expected {} image tokens (id {}), found {}", n_image_tokens, model.image_pad.value_or(-1), found);
}

}  // namespace

EncodedSample encode_sample(const Tokenizer* tokenizer, const Sample& sample,
                            std::span<const int64_t> image_token_counts, const ModelTokens& model) {
  QSWEEP_CHECK(images_of(sample).size() == image_token_counts.size(), "{} images, {} counts",
               images_of(sample).size(), image_token_counts.size());
  QSWEEP_CHECK(
      std::all_of(image_token_counts.begin(), image_token_counts.end(), [](int64_t n) { return n > 0; }),
      "an image has at least one token");
  EncodedSample encoded;
  if (const auto* tokens = std::get_if<TokenIds>(&sample.content)) {
    encoded = {tokens->ids, tokens->answer_mask.value_or(all_but_the_first(tokens->ids.size()))};
  } else if (tokenizer == nullptr) {
    fail(
        "the sample is text, which needs the model's tokenizer.json; without it only \"input_ids\" can be "
        "read");
  } else if (const auto* caption = std::get_if<Caption>(&sample.content)) {
    encoded.ids = tokenizer->with_template(tokenizer->encode(caption->text));
    encoded.answer_mask = all_but_the_first(encoded.ids.size());
  } else {
    encoded = encode_dialogue(*tokenizer, std::get<Dialogue>(sample.content), image_token_counts, model);
  }
  const int64_t n_image_tokens =
      std::accumulate(image_token_counts.begin(), image_token_counts.end(), int64_t{0});
  check_ids(encoded.ids, n_image_tokens, model);
  return encoded;
}

}  // namespace qsweep::text
