// BPE tokenizers in the format of the Hugging Face tokenizers library (tokenizer.json): the same ids as that
// library for byte-level ones (GPT-2, Qwen, Llama 3, Tekken and their relatives) and for those of characters
// with byte fallback (Llama 2, Gemma).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/tokenizer_json.h"

namespace qsweep::text {

class Tokenizer {
 public:
  // Error where the file is not valid or needs something that is not implemented.
  static Tokenizer load(const std::string& path);
  static Tokenizer parse(std::string_view json, const std::string& where);

  // The tokens of the text itself. Error where it is not valid UTF-8. A token's span is in `text` as it is
  // given: of a character that is several tokens each has its own bytes, an added token has the white space
  // that it took, a space that the file has put before a word the word's first byte, and tokens of a run that
  // NFC has changed may have the whole run (MappedText).
  std::vector<Token> tokenize(std::string_view text) const;
  std::vector<int32_t> encode(std::string_view text) const;  // their ids

  // Puts the tokens around that the file's template asks for (a begin-of-text token, for example); often
  // none.
  std::vector<int32_t> with_template(std::span<const int32_t> ids) const;
  size_t template_tokens_before() const { return parts_.prefix.size(); }

  // Invalid UTF-8 becomes U+FFFD. Error for an id without token.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  std::optional<int32_t> id_of(std::string_view token) const;

  // Highest id + 1; there may be ids without token below.
  int64_t vocab_size() const { return vocab_size_; }

 private:
  Tokenizer(TokenizerParts parts, const std::string& where);
  // They append tokens whose spans are in the text that `text` or `piece` is a part of, where that begins at
  // byte `begin`; `first`: the whole text begins there.
  void normalize(std::string_view text, bool first, MatchBudget& budget, std::vector<Token>& tokens) const;
  void tokenize_normalized(std::string_view text, bool first, MatchBudget& budget,
                           std::vector<Token>& tokens) const;
  void tokenize_plain(std::string_view text, size_t begin, bool first, MatchBudget& budget,
                      std::vector<Token>& tokens) const;
  void tokenize_piece(std::string_view piece, size_t begin, MatchBudget& budget,
                      std::vector<Token>& tokens) const;
  void tokenize_metaspace(std::string_view piece, size_t begin, bool first, MatchBudget& budget,
                          std::vector<Token>& tokens) const;
  void tokenize_word(std::string_view word, size_t begin, std::vector<Token>& tokens) const;

  struct Decoded {
    std::string bytes;
    bool special = false;
  };

  TokenizerParts parts_;
  AddedTokenFinder raw_added_, normalized_added_;
  std::unordered_map<int32_t, Decoded> decoded_;
  int64_t vocab_size_ = 0;
};

}  // namespace qsweep::text
