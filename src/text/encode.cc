#include "text/encode.h"

#include <algorithm>
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
  const int32_t id = required_token(tokenizer, model.image_text);
  if (id != *model.image_pad)
    fail("the tokenizer's {} has id {}, the model's image token has id {}", model.image_text, id,
         *model.image_pad);
}

// What stands for images is tokenized as if an image stood there.
void refuse_image_texts(std::string_view text, const ChatFormat& format) {
  if (format.dialect == nullptr) return;
  for (const std::string_view reserved : format.dialect->reserved)
    if (text.find(reserved) != std::string_view::npos)
      fail("special image token written as text: {}", reserved);
}

void check_messages(std::span<const Message> messages, const ChatFormat& format) {
  for (size_t i = 0; i < messages.size(); ++i)
    with_context(fmt::format("messages[{}]", i), [&] {
      for (const ContentPart& part : messages[i].parts)
        if (const auto* words = std::get_if<std::string>(&part)) refuse_image_texts(*words, format);
    });
}

EncodedSample encode_dialogue(const Tokenizer& tokenizer, const Dialogue& dialogue,
                              std::span<const ImageText> images, const ModelTokens& model,
                              const ChatFormat& format) {
  if (!images.empty()) check_image_token(tokenizer, model);
  check_messages(dialogue.messages, format);
  std::vector<std::string> image_texts;
  for (const ImageText& image : images) image_texts.push_back(image.text);
  const ChatPrompt prompt = write_prompt(format, dialogue.messages, image_texts);
  for (const std::string_view token : format.dialect->tokens)
    if (prompt.text.find(token) != std::string::npos) required_token(tokenizer, token);
  const std::vector<Token> tokens = tokenizer.tokenize(prompt.text);
  EncodedSample encoded{.ids = {}, .answer_mask = tokens_within(tokens, prompt.answers)};
  for (const Token& token : tokens) encoded.ids.push_back(token.id);
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
                            std::span<const ImageText> images, const ModelTokens& model,
                            const ChatFormat& format) {
  QSWEEP_CHECK(images_of(sample).size() == images.size(), "{} images, {} texts for them",
               images_of(sample).size(), images.size());
  QSWEEP_CHECK(std::all_of(images.begin(), images.end(),
                           [](const ImageText& image) { return image.image_tokens > 0; }),
               "an image has at least one token");
  EncodedSample encoded;
  if (const auto* tokens = std::get_if<TokenIds>(&sample.content)) {
    encoded = {tokens->ids, tokens->answer_mask.value_or(all_but_the_first(tokens->ids.size()))};
  } else if (tokenizer == nullptr) {
    fail(
        "the sample is text, which needs the model's tokenizer.json; without it only \"input_ids\" can be "
        "read");
  } else if (const auto* caption = std::get_if<Caption>(&sample.content)) {
    refuse_image_texts(caption->text, format);
    encoded.ids = tokenizer->with_template(tokenizer->encode(caption->text));
    encoded.answer_mask = all_but_the_first(encoded.ids.size());
  } else {
    encoded = encode_dialogue(*tokenizer, std::get<Dialogue>(sample.content), images, model, format);
  }
  int64_t n_image_tokens = 0;
  for (const ImageText& image : images) n_image_tokens += image.image_tokens;
  check_ids(encoded.ids, n_image_tokens, model);
  return encoded;
}

}  // namespace qsweep::text
