// The image processors that there are, and what each has of its own. Private to image.
#pragma once

#include <span>
#include <string_view>

#include "image/processor.h"
#include "image/processor_config.h"
#include "io/keys.h"

namespace qsweep::image {

// One of transformers' image processors. A family names it by the first of `types`.
struct ProcessorRow {
  std::span<const std::string_view> types;  // names of one and the same processor
  Processor defaults;                       // of its sizes only what no key says
  // Keys beside those that all rows have: of the image processor, of its "size", of the whole processor.
  std::span<const io::KnownKey> keys, size_keys, whole_keys;
  // Reads the image processor's patches and sizes.
  void (*read)(const io::ObjectReader& config, const ModelImages& model, Processor& processor);
  // Reads what the whole processor says of images beside the image processor. The object is empty where there
  // is no such file.
  void (*read_whole)(const io::ObjectReader& whole, const ModelImages& model, Processor& processor);
};

std::span<const ProcessorRow> processor_rows();

}  // namespace qsweep::image
