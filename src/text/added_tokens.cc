#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"

namespace qsweep::text {
namespace {

size_t white_space_after(std::string_view text, size_t at) {
  while (at < text.size()) {
    const Utf8Step step = utf8_first(text.substr(at));
    if (!is_white_space(step.code_point)) break;
    at += step.bytes;
  }
  return at;
}

// Where the white space before `at` begins, not before `limit`.
size_t white_space_before(std::string_view text, size_t at, size_t limit) {
  while (at > limit) {
    size_t previous = at - 1;
    while (previous > limit && (static_cast<uint8_t>(text[previous]) & 0xC0) == 0x80) --previous;
    if (!is_white_space(utf8_first(text.substr(previous)).code_point)) break;
    at = previous;
  }
  return at;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  const auto same = [](const AddedToken& a, const AddedToken& b) { return a.content == b.content; };
  tokens_.erase(std::unique(tokens_.begin(), tokens_.end(), same), tokens_.end());
}

// Narrows the sorted tokens to those that share ever more of the text, one byte at a time.
const AddedToken* AddedTokenFinder::longest_prefix(std::string_view text) const {
  const AddedToken* found = nullptr;
  auto begin = tokens_.begin(), end = tokens_.end();
  for (size_t depth = 0; begin != end; ++depth) {
    if (begin->content.size() == depth) found = &*begin++;
    if (depth == text.size()) break;
    const auto byte = static_cast<uint8_t>(text[depth]);
    const auto at_depth = [depth](const AddedToken& token) {
      return static_cast<uint8_t>(token.content[depth]);
    };
    begin = std::partition_point(begin, end, [&](const AddedToken& token) { return at_depth(token) < byte; });
    end = std::partition_point(begin, end, [&](const AddedToken& token) { return at_depth(token) == byte; });
  }
  return found;
}

std::vector<TextPart> AddedTokenFinder::split(std::string_view text) const {
  std::vector<TextPart> parts;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const AddedToken* token = longest_prefix(text.substr(at));
    if (token == nullptr) {
      ++at;
      continue;
    }
    const size_t begin = token->lstrip ? white_space_before(text, at, std::min(at, done)) : at;
    at += token->content.size();
    const size_t end = token->rstrip ? white_space_after(text, at) : at;
    if (done < begin) parts.push_back({text.substr(done, begin - done), std::nullopt});
    parts.push_back({text.substr(begin, end - begin), token->id});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), std::nullopt});
  return parts;
}

}  // namespace qsweep::text
