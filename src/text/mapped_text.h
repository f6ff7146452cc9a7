// A text that something was done to, and that knows where its bytes come from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"

namespace qsweep::text {

class MappedText {
 public:
  // In normalization form C; the source is valid UTF-8.
  static MappedText composed(std::string_view source);
  // With `to` for every `from`; neither is empty.
  static MappedText replaced(std::string_view source, std::string_view from, std::string_view to);
  // With `prefix` before it; neither is empty.
  static MappedText prefixed(std::string_view source, std::string_view prefix);

  const std::string& text() const { return text_; }

  // The bytes of the source that the bytes of the text stand for; not empty. Of what was put before the
  // source, its first byte. Exact but for what was replaced, which counts as a whole, and for runs of
  // characters beyond ASCII, with the ASCII character before them, that composition changes: of such a run,
  // what follows the first change counts as a whole.
  Span source_of(Span bytes) const;

 private:
  explicit MappedText(std::string_view source) : source_bytes_(source.size()) {}
  void add(std::string_view same, size_t source);
  void add_other(std::string_view other, size_t source);
  void add_composed(std::string_view run, size_t source);

  // From byte `begin` of the text on: the same bytes from `source` on, or all that lies between `source` and
  // the next stretch's.
  struct Stretch {
    size_t begin, source;
    bool same;
  };
  const Stretch& stretch_at(size_t byte) const;

  std::string text_;
  std::vector<Stretch> stretches_;
  size_t source_bytes_;
};

}  // namespace qsweep::text
