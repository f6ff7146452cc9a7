#include "text/mapped_text.h"

#include <algorithm>

#include "text/unicode.h"

namespace qsweep::text {
namespace {

bool is_ascii(char c) { return static_cast<uint8_t>(c) < 0x80; }

// Whether a character begins at `at`, or the text ends there.
bool is_boundary(std::string_view text, size_t at) {
  return at >= text.size() || (static_cast<uint8_t>(text[at]) & 0xC0) != 0x80;
}

// The bytes of the first characters that both have.
size_t common_prefix(std::string_view a, std::string_view b) {
  size_t n = static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
  while (!is_boundary(a, n) || !is_boundary(b, n)) --n;
  return n;
}

}  // namespace

// No ASCII character composes with what is before it, so every run of other characters is normalized by
// itself, together with the ASCII character that it may compose with.
MappedText MappedText::composed(std::string_view source) {
  MappedText mapped(source);
  mapped.text_.reserve(source.size());
  const auto not_ascii = [](char c) { return !is_ascii(c); };
  for (auto at = source.begin(); at != source.end();) {
    const auto other = std::find_if(at, source.end(), not_ascii);
    const auto run = other != source.end() && other != at ? other - 1 : other;
    mapped.add({at, run}, static_cast<size_t>(at - source.begin()));
    at = std::find_if(other, source.end(), is_ascii);
    mapped.add_composed({run, at}, static_cast<size_t>(run - source.begin()));
  }
  return mapped;
}

MappedText MappedText::replaced(std::string_view source, std::string_view from, std::string_view to) {
  MappedText mapped(source);
  size_t done = 0;
  for (size_t at = source.find(from); at != std::string_view::npos; at = source.find(from, done)) {
    mapped.add(source.substr(done, at - done), done);
    mapped.add_other(to, at);
    done = at + from.size();
  }
  mapped.add(source.substr(done), done);
  return mapped;
}

MappedText MappedText::prefixed(std::string_view source, std::string_view prefix) {
  MappedText mapped(source);
  mapped.add_other(prefix, 0);
  mapped.add(source, 0);
  return mapped;
}

void MappedText::add(std::string_view same, size_t source) {
  if (same.empty()) return;
  if (stretches_.empty() || !stretches_.back().same) stretches_.push_back({text_.size(), source, true});
  text_ += same;
}

void MappedText::add_other(std::string_view other, size_t source) {
  stretches_.push_back({text_.size(), source, false});
  text_ += other;
}

void MappedText::add_composed(std::string_view run, size_t source) {
  const std::string changed = nfc(run);
  const size_t same = common_prefix(run, changed);
  add(run.substr(0, same), source);
  if (same < run.size() || same < changed.size())
    add_other(std::string_view(changed).substr(same), source + same);
}

const MappedText::Stretch& MappedText::stretch_at(size_t byte) const {
  const auto after =
      std::ranges::upper_bound(stretches_, byte, std::less<>{}, [](const Stretch& s) { return s.begin; });
  return *(after - 1);
}

Span MappedText::source_of(Span bytes) const {
  const Stretch& first = stretch_at(bytes.begin);
  const Stretch& last = stretch_at(bytes.end - 1);
  const size_t begin = first.same ? first.source + (bytes.begin - first.begin) : first.source;
  if (last.same) return {begin, last.source + (bytes.end - last.begin)};
  const bool is_last = &last == &stretches_.back();
  return {begin, std::max(begin + 1, is_last ? source_bytes_ : (&last + 1)->source)};
}

}  // namespace qsweep::text
