#include "models/text_inputs.h"

#include <filesystem>
#include <numeric>

namespace qsweep::models {

TextInputs::TextInputs(std::string folder, const TextConfig& config, const LoadOptions& options,
                       std::string_view dialect)
    : folder_(std::move(folder)),
      rope_(config.rope),
      local_rope_(config.local_rope),
      tokens_{.vocab_size = config.vocab_size, .image_pad = {}, .video_pad = {}},
      chat_format_(text::find_chat_format(folder_, options.chat_template, dialect)),
      usual_dialect_(text::find_dialect(dialect)) {
  const std::string path = folder_ + "/tokenizer.json";
  if (std::filesystem::exists(path)) tokenizer_ = text::Tokenizer::load(path);
}

std::vector<PromptToken> TextInputs::prompt_tokens() const {
  const text::Dialect& dialect = chat_format_.dialect == nullptr ? usual_dialect_ : *chat_format_.dialect;
  std::vector<PromptToken> tokens;
  for (const auto& texts : {dialect.tokens, dialect.reserved})
    for (const std::string_view text : texts)
      tokens.push_back({.text = std::string(text), .begins = text == dialect.begin});
  return tokens;
}

std::vector<text::ImageText> TextInputs::examine_images(const text::Sample& data, Sample&) const {
  if (!text::images_of(data).empty()) fail("the sample has images, but the model takes none");
  return {};
}

Sample TextInputs::prepare(const text::Sample& data) const {
  return with_context(fmt::format("sample \"{}\"", data.id), [&] {
    Sample sample;
    sample.id = data.id;
    const std::vector<text::ImageText> images = examine_images(data, sample);
    if (!tokenizer_ && !std::holds_alternative<text::TokenIds>(data.content))
      fail("{}/tokenizer.json: needed for data that is not tokenized, but missing", folder_);
    text::EncodedSample encoded =
        text::encode_sample(tokenizer_ ? &*tokenizer_ : nullptr, data, images, tokens_, chat_format_);
    sample.token_ids = std::move(encoded.ids);
    sample.answer_mask = std::move(encoded.answer_mask);
    sample.rows[graph::Rows::tokens] = std::ssize(sample.token_ids);
    return sample;
  });
}

Positions TextInputs::positions(const Sample& sample) const {
  std::vector<int32_t> count(sample.token_ids.size());
  std::iota(count.begin(), count.end(), 0);
  return {count, count, count};
}

graph::SampleInputs TextInputs::load(const Sample& sample, Pixels pixels) const {
  graph::SampleInputs inputs;
  inputs.rows = sample.rows;
  inputs.token_ids = sample.token_ids;
  const int64_t tokens = std::ssize(sample.token_ids);
  const auto table = [&](const Rope& rope) {
    return pixels == Pixels::shapes ? Tensor(DType::f32, {tokens, 2 * std::ssize(rope.frequencies)})
                                    : cos_sin(positions(sample), rope);
  };
  inputs.tables[kTextCosSin] = table(rope_);
  if (local_rope_) inputs.tables[kLocalCosSin] = table(*local_rope_);
  inputs.segments[kSequence] = {static_cast<int32_t>(tokens)};
  return inputs;
}

}  // namespace qsweep::models
