#include "text/split.h"

#include <algorithm>

namespace qsweep::text {
namespace {

using Pieces = std::vector<Regex::Piece>;

Pieces pieces_of(std::string_view text, const std::string& word) {
  Pieces pieces;
  size_t done = 0;
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, done)) {
    if (done < at) pieces.push_back({{done, at}, false});
    done = at + word.size();
    pieces.push_back({{at, done}, true});
  }
  if (done < text.size()) pieces.push_back({{done, text.size()}, false});
  return pieces;
}

// Joins a piece to the one that was added last. Of several matches side by side only the first that is met
// goes to its neighbour, as in the reference library.
Pieces joined_matches(const Pieces& pieces) {
  Pieces joined;
  bool previous = false;
  for (const Regex::Piece& piece : pieces) {
    if (piece.matches && !previous && !joined.empty()) {
      Span& last = joined.back().bytes;
      last = {std::min(last.begin, piece.bytes.begin), std::max(last.end, piece.bytes.end)};
    } else {
      joined.push_back(piece);
    }
    previous = piece.matches;
  }
  return joined;
}

Pieces joined_equals(const Pieces& pieces) {
  Pieces joined;
  for (const Regex::Piece& piece : pieces) {
    if (!joined.empty() && joined.back().matches == piece.matches)
      joined.back().bytes.end = piece.bytes.end;
    else
      joined.push_back(piece);
  }
  return joined;
}

}  // namespace

std::vector<std::string_view> Split::split(std::string_view text, MatchBudget& budget) const {
  const auto* const regex = std::get_if<Regex>(&pattern_);
  Pieces pieces =
      regex != nullptr ? regex->pieces(text, budget) : pieces_of(text, std::get<std::string>(pattern_));
  if (inverted_)
    for (Regex::Piece& piece : pieces) piece.matches = !piece.matches;
  if (behavior_ == Behavior::contiguous) pieces = joined_equals(pieces);
  if (behavior_ == Behavior::merged_with_previous) pieces = joined_matches(pieces);
  if (behavior_ == Behavior::merged_with_next) {
    std::ranges::reverse(pieces);
    pieces = joined_matches(pieces);
    std::ranges::reverse(pieces);
  }
  std::vector<std::string_view> texts;
  for (const auto& [bytes, matches] : pieces)
    if (bytes.begin < bytes.end) texts.push_back(text.substr(bytes.begin, bytes.end - bytes.begin));
  return texts;
}

}  // namespace qsweep::text
