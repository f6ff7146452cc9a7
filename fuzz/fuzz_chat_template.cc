// Arbitrary bytes as a chat template: an Error, or a text; and never a format with a dialect that does not
// write what the template writes.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/json.h"
#include "text/chat_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qsweep::text;
  const ChatFormat format =
      format_of_template({reinterpret_cast<const char*>(data), size}, {{"bos_token", "<s>"}});
  if ((format.dialect == nullptr) == format.refusal.empty()) std::abort();
  const std::vector<Message> messages{{.role = "user", .parts = {"a"}},
                                      {.role = "assistant", .parts = {"b"}, .answer = true}};
  try {
    if (write_prompt(format, messages, {}).answers.size() != 1) std::abort();
  } catch (const qsweep::Error&) {
  }
  return 0;
}
