// Arbitrary bytes as tokenizer.json: an Error, or a tokenizer that gives a text back.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace {

using qsweep::text::Tokenizer;

// Spaces may be added (add_prefix_space) or swallowed (lstrip, rstrip). A token "é" alone is excepted: like
// any it may decode as the byte-level alphabet, to the byte E9. So are files that change the text.
void check_round_trip(const Tokenizer& tokenizer, std::string_view json) {
  if (tokenizer.id_of("\u00e9")) return;
  for (const char* change : {"Replace", "Prepend", "Metaspace", "<0x"})
    if (json.find(change) != std::string_view::npos) return;
  const auto ids = tokenizer.encode("abc \u00e9");
  std::string decoded = qsweep::text::nfc(tokenizer.decode(ids));
  std::erase(decoded, ' ');
  if (decoded != "abc\u00e9") std::abort();
}

// The spans of the tokens follow each other and leave out nothing.
void check_spans(const Tokenizer& tokenizer, const std::string& text) {
  size_t begin = 0, end = 0;
  for (const auto& [id, span] : tokenizer.tokenize(text)) {
    if (span.begin < begin || span.begin > end || span.end <= span.begin || span.end > text.size())
      std::abort();
    begin = span.begin;
    end = std::max(end, span.end);
  }
  if (end != text.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view json(reinterpret_cast<const char*>(data), size);
    const auto tokenizer = Tokenizer::parse(json, "fuzz");
    check_round_trip(tokenizer, json);
    const std::string text = "A red circle.\r\n\n  e\u0301 <|im_end|>12'll \u1100\u1161\u11a7\n";
    check_spans(tokenizer, text);
    const auto ids = tokenizer.with_template(tokenizer.encode(text));
    for (const int32_t id : ids)
      if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
    tokenizer.decode(ids, true);
  } catch (const qsweep::Error&) {
  }
  return 0;
}
