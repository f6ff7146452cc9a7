// A step of pre-tokenization: cuts a text at what matches a pattern.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/regex.h"

namespace qsweep::text {

class Split {
 public:
  // Where a match goes: a piece of its own, to the piece before or behind it, or together with the matches
  // beside it.
  enum class Behavior { isolated, merged_with_previous, merged_with_next, contiguous };

  // A string matches itself. `inverted`: what lies between the matches counts as one.
  Split(std::variant<std::string, Regex> pattern, Behavior behavior, bool inverted)
      : pattern_(std::move(pattern)), behavior_(behavior), inverted_(inverted) {}

  // All of the text in order, without empty pieces.
  std::vector<std::string_view> split(std::string_view text, MatchBudget& budget) const;

 private:
  std::variant<std::string, Regex> pattern_;
  Behavior behavior_;
  bool inverted_;
};

}  // namespace qsweep::text
