// From a sample to the token sequence that the model reads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "text/dataset.h"
#include "text/tokenizer.h"

namespace qsweep::text {

// What the model's config.json says about token ids; a text-only model has no image or video tokens.
struct ModelTokens {
  int64_t vocab_size = 0;
  std::optional<int32_t> image_pad;
  std::optional<int32_t> video_pad;
};

struct EncodedSample {
  std::vector<int32_t> ids;  // never empty
  std::vector<uint8_t>
      answer_mask;  // 1: the token is (part of) an answer; position t counts when token t+1 is one
};

// Dialogue: the ChatML prompt, each image as image_token_counts[i] image tokens; answers are the tokens that
// hold a character of an answer or of its "<|im_end|>". Caption and token ids without mask: every token but
// the first is an answer. `tokenizer` may be null for token ids only. image_token_counts has one entry, at
// least 1, per image of the sample. Errors do not name the sample; the caller adds that.
EncodedSample encode_sample(const Tokenizer* tokenizer, const Sample& sample,
                            std::span<const int64_t> image_token_counts, const ModelTokens& model);

}  // namespace qsweep::text
