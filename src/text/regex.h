// The regular expressions of pre-tokenizers. tokenizer.json writes them for Oniguruma (Ruby syntax); they are
// run by PCRE2. Only what means the same in both is accepted, the rest is an Error, so that no pattern is
// silently read differently: \s and scripts are translated to Oniguruma's meaning.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"

struct pcre2_real_code_8;

namespace qsweep::text {

// What matching may take for a whole text, whatever the number of its pieces and of patterns: a number of
// steps in proportion to its length, so that neither a pattern that backtracks exponentially nor one that
// scans the rest of the text at every character takes minutes.
class MatchBudget {
 public:
  explicit MatchBudget(size_t text_bytes);
  ~MatchBudget();

  struct State;  // PCRE2's, of regex.cc
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

class Regex {
 public:
  // Error where the pattern does not compile or is outside the shared subset.
  explicit Regex(const std::string& pattern);

  // Bytes of the text that match, or that lie between two matches.
  struct Piece {
    Span bytes;
    bool matches;
  };
  // All of the text in order; a match may be empty, what lies between is not. Valid UTF-8 only. Error where
  // the budget is used up.
  std::vector<Piece> pieces(std::string_view text, MatchBudget& budget) const;
  // The same as texts, without empty ones ("Isolated").
  std::vector<std::string_view> split(std::string_view text, MatchBudget& budget) const;
  // With a budget of its own.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
};

}  // namespace qsweep::text
