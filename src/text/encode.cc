#include "text/encode.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>

#include "base/error.h"

namespace qsweep::text {
namespace {

constexpr std::string_view kImagePad = "<|image_pad|>";
constexpr std::string_view kAnswerHead = "<|im_start|>assistant\n";
constexpr std::string_view kAnswerEnd = "<|im_end|>";

// Repeats the i-th image token of the prompt counts[i] times.
std::string expand_image_pads(std::string_view prompt, std::span<const int64_t> counts) {
  std::string expanded;
  for (const int64_t count : counts) {
    const size_t at = prompt.find(kImagePad);
    QSWEEP_CHECK(at != std::string_view::npos, "{} images, but fewer image tokens in the prompt",
                 counts.size());
    expanded += prompt.substr(0, at);
    for (int64_t i = 0; i < count; ++i) expanded += kImagePad;
    prompt.remove_prefix(at + kImagePad.size());
  }
  return expanded.append(prompt);
}

int32_t required_token(const Tokenizer& tokenizer, std::string_view token) {
  const auto id = tokenizer.id_of(token);
  if (!id) fail("the tokenizer has no token {}, which dialogues need", token);
  return *id;
}

std::vector<uint8_t> chat_answer_mask(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  const std::vector<int32_t> head = tokenizer.encode(kAnswerHead);
  const int32_t end = required_token(tokenizer, kAnswerEnd);
  std::vector<uint8_t> mask(ids.size(), 0);
  for (auto at = ids.begin();;) {
    const auto found = std::search(at, ids.end(), head.begin(), head.end());
    if (found == ids.end()) return mask;
    const auto first = found + std::ssize(head);
    const auto closing = std::find(first, ids.end(), end);
    at = closing == ids.end() ? closing : closing + 1;
    std::fill(mask.begin() + (first - ids.begin()), mask.begin() + (at - ids.begin()), uint8_t{1});
  }
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
  const std::string prompt = expand_image_pads(chatml_prompt(dialogue.messages, false), counts);
  EncodedSample encoded;
  encoded.ids = tokenizer.with_template(tokenizer.encode(prompt));
  encoded.answer_mask = chat_answer_mask(tokenizer, encoded.ids);
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
