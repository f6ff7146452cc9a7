// The markers before a JPEG file's first scan, read as leniently and as strictly as Pillow's JpegImagePlugin
// reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace qsweep::image {

struct JpegMarkers {
  int64_t width = 0;
  int64_t height = 0;
  int components = 0;
  int orientation = 1;
  int64_t metadata_bytes = 0;  // what was held to find the orientation
};

// Error on whatever Pillow refuses before it decodes.
JpegMarkers read_jpeg_markers(std::span<const std::byte> file);

}  // namespace qsweep::image
