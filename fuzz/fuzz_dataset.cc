// Arbitrary bytes as a .jsonl data file: an Error, or samples that all have content.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "text/dataset.h"

namespace {

using namespace qsweep::text;

bool has_content(const Sample& sample) {
  if (const auto* tokens = std::get_if<TokenIds>(&sample.content))
    return !tokens->ids.empty() &&
           (!tokens->answer_mask || tokens->answer_mask->size() == tokens->ids.size());
  const auto* dialogue = std::get_if<Dialogue>(&sample.content);
  if (dialogue == nullptr || dialogue->messages.empty()) return false;
  for (const Message& message : dialogue->messages)
    if (message.role.empty() || message.parts.empty() || (message.answer && message.role != "assistant"))
      return false;
  for (const ImageSource& image : images_of(sample))
    if (image.location.empty() || image.folder != "folder" ||
        image.resized_height.has_value() != image.resized_width.has_value())
      return false;
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto samples = parse_dataset_jsonl({reinterpret_cast<const char*>(data), size}, "fuzz", "folder");
    if (samples.empty()) std::abort();
    for (const Sample& sample : samples)
      if (!has_content(sample)) std::abort();
  } catch (const qsweep::Error&) {
  }
  return 0;
}
