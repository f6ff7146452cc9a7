// A text in normalization form C that knows where its bytes come from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"

namespace qsweep::text {

class NfcText {
 public:
  explicit NfcText(std::string_view source);  // valid UTF-8

  const std::string& text() const { return text_; }

  // The bytes of the source that the bytes of the text stand for; not empty. Exact but for runs of characters
  // beyond ASCII, with the ASCII character before them, that normalization changes: of such a run, what
  // follows the first change counts as a whole.
  Span source_of(Span bytes) const;

 private:
  void add(std::string_view same, size_t source);
  void add_changed(std::string_view run, size_t source);

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
