// Any bytes: an Error, or an image as large as it says.
#include <cstdlib>
#include <span>

#include "base/error.h"
#include "image/decode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kPixels = 1 << 18;
  try {
    const auto image = qsweep::image::decode(std::as_bytes(std::span(data, size)), "fuzz", kPixels);
    const bool sound = image.width > 0 && image.height > 0 && image.width * image.height <= kPixels &&
                       static_cast<int64_t>(image.pixels.size()) == image.width * image.height * 3;
    if (!sound) std::abort();
  } catch (const qsweep::Error&) {
    return 0;
  }
  return 0;
}
