// Arbitrary bytes as tokenizer.json: an Error, or a tokenizer that gives a text back in NFC.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qsweep;
  try {
    const auto tokenizer = text::Tokenizer::parse({reinterpret_cast<const char*>(data), size}, "fuzz");
    const auto ids = tokenizer.encode("abc e\u0301 <|im_end|>\n");
    for (const int32_t id : ids)
      if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
    tokenizer.decode(tokenizer.with_template(ids), true);
    if (tokenizer.decode(ids).empty()) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
