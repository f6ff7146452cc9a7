// Any bytes: the header is refused with an Error, or its entries tile the data section exactly and in order.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"
#include "io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  qsweep::io::SafetensorsHeader header;
  try {
    header = qsweep::io::parse_safetensors_header(file, "input");
  } catch (const qsweep::Error&) {
    return 0;
  }
  int64_t covered = 0;
  for (const qsweep::io::TensorEntry& entry : header.entries) {
    if (entry.begin != covered || entry.end < entry.begin) __builtin_trap();
    if (qsweep::element_count(entry.shape) * qsweep::size_bytes(entry.dtype) != entry.end - entry.begin)
      __builtin_trap();
    covered = entry.end;
  }
  if (header.data_begin + covered != static_cast<int64_t>(size)) __builtin_trap();
  return 0;
}
