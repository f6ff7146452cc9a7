// Added tokens (special ones among them) are cut out of the text before it is split into words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qsweep::text {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool special = false;     // left out by decode(skip_special)
  bool normalized = false;  // looked for in the normalized text instead of the raw one
  bool lstrip = false;      // takes the white space before it
  bool rstrip = false;      // and after it
};

// A part of a text: an added token, or (id empty) text that is still to be tokenized.
struct TextPart {
  std::string_view text;
  std::optional<int32_t> id;
};

// Finds a fixed set of added tokens: leftmost first, of these the longest.
class AddedTokenFinder {
 public:
  // `content` of each token is what to look for; of equal contents the first counts.
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  std::vector<TextPart> split(std::string_view text) const;

 private:
  const AddedToken* longest_prefix(std::string_view text) const;

  std::vector<AddedToken> tokens_;  // sorted by content
};

}  // namespace qsweep::text
