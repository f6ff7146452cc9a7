// From a sample to the token sequence that the model reads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "text/chat_format.h"
#include "text/dataset.h"
#include "text/tokenizer.h"

namespace qsweep::text {

// What the model's config.json says about token ids; a text-only model has no image or video tokens.
struct ModelTokens {
  int64_t vocab_size = 0;
  std::optional<int32_t> image_pad;  // the token at which image features stand
  std::optional<int32_t> video_pad;
  std::string image_text = {};  // how the tokenizer writes image_pad
};

// What a family puts in the place of an image's mark.
struct ImageText {
  std::string text;
  int64_t image_tokens = 0;  // so many of them are image_pad; at least 1
};

struct EncodedSample {
  std::vector<int32_t> ids;  // never empty
  std::vector<uint8_t>
      answer_mask;  // 1: the token is (part of) an answer; position t counts when token t+1 is one
};

// Dialogue: the prompt of its dialect, without what the tokenizer's template puts around plain text, as the
// prompt has its own begin; answers are the tokens that hold a character of an answer or of what ends it.
// Caption: with the tokenizer's template; like token ids without a mask, every token but the first is an
// answer. `tokenizer` may be null for token ids only. `images` has one entry per image of the sample. Errors
// do not name the sample; the caller adds that.
EncodedSample encode_sample(const Tokenizer* tokenizer, const Sample& sample,
                            std::span<const ImageText> images, const ModelTokens& model,
                            const ChatFormat& format);

}  // namespace qsweep::text
