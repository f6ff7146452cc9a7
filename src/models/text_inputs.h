// What a decoder reads of a sample: its tokens and their positions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/model.h"
#include "models/text_config.h"
#include "text/encode.h"

namespace qsweep::models {

// Names under which the stages find them.
inline constexpr char kTextCosSin[] = "text_cos_sin";  // table [tokens, head_dim]
inline constexpr char kLocalCosSin[] =
    "local_cos_sin";                             // the same for layers with a window, where it is another
inline constexpr char kSequence[] = "sequence";  // one segment of all tokens

class TextInputs : public InputBuilder {
 public:
  // The folder's tokenizer.json may be missing: then only tokenized data can be read. dialect: of dialogues,
  // where the folder has no chat template and the options name none.
  TextInputs(std::string folder, const TextConfig& config, const LoadOptions& options,
             std::string_view dialect);

  std::vector<PromptToken> prompt_tokens() const override;
  Sample prepare(const text::Sample& data) const override;
  graph::SampleInputs load(const Sample& sample, Pixels pixels) const override;

 protected:
  // What a model with images adds. Sets the images' part of the sample and returns what stands for each in
  // the prompt.
  virtual std::vector<text::ImageText> examine_images(const text::Sample& data, Sample& sample) const;
  virtual Positions positions(const Sample& sample) const;  // counting up

  const std::string& folder() const { return folder_; }
  const std::optional<text::Tokenizer>& tokenizer() const { return tokenizer_; }
  text::ModelTokens& tokens() { return tokens_; }

 private:
  std::string folder_;
  Rope rope_;
  std::optional<Rope> local_rope_;
  text::ModelTokens tokens_;
  std::optional<text::Tokenizer> tokenizer_;
  text::ChatFormat chat_format_;
  const text::Dialect& usual_dialect_;  // the family's
};

}  // namespace qsweep::models
