#include "image/patches.h"

#include <algorithm>

#include "base/error.h"

namespace qsweep::image {
namespace {

// The 256 values that a channel can take. In float32 after the rescale, as transformers does.
struct ChannelValues {
  float of[3][256];
};

ChannelValues normalised_values(const Processor& processor) {
  ChannelValues values;
  for (size_t c = 0; c < 3; ++c) {
    for (int u8 = 0; u8 < 256; ++u8) {
      const auto rescaled = static_cast<float>(u8 * processor.rescale_factor);
      values.of[c][u8] =
          (rescaled - static_cast<float>(processor.mean[c])) / static_cast<float>(processor.std[c]);
    }
  }
  return values;
}

// Writes the patch whose top left pixel is (y0, x0) as one row.
void write_patch(const RgbImage& image, int64_t y0, int64_t x0, const Processor& processor,
                 const ChannelValues& values, float* row) {
  for (int64_t c = 0; c < 3; ++c) {
    const float* frame = row;
    for (int64_t y = y0; y < y0 + processor.patch_size; ++y) {
      const uint8_t* pixel = image.pixels.data() + (y * image.width + x0) * 3 + c;
      for (int64_t x = 0; x < processor.patch_size; ++x, pixel += 3) *row++ = values.of[c][*pixel];
    }
    for (int64_t copy = 1; copy < processor.temporal_patch_size; ++copy)
      row = std::copy_n(frame, processor.patch_size * processor.patch_size, row);
  }
}

RowResizer resizer_of(const ImageReader& image, Size resized, const Processor& processor) {
  return {{image.height(), image.width()}, image.orientation(), resized, processor.resample};
}

}  // namespace

int64_t decode_bytes(const ImageReader& image, Size resized, const Processor& processor) {
  return image.bytes() + resizer_of(image, resized, processor).bytes();
}

void make_patches(ImageReader& image, Size resized, const Processor& processor, std::span<float> rows) {
  RowResizer resizer = resizer_of(image, resized, processor);
  image.read_rows([&resizer](const uint8_t* row) { resizer.add(row); });
  const RgbImage pixels = resizer.finish();
  const ChannelValues values = normalised_values(processor);
  const int64_t patch = processor.patch_size;
  const int64_t unit = processor.patch_order == PatchOrder::merged_units ? processor.merge_size : 1;
  const auto [grid_t, grid_h, grid_w] = patch_grid(resized, processor);
  QSWEEP_CHECK(std::ssize(rows) == grid_t * grid_h * grid_w * processor.row_elems(), "{} values",
               rows.size());
  float* row = rows.data();
  for (int64_t unit_y = 0; unit_y < grid_h; unit_y += unit)
    for (int64_t unit_x = 0; unit_x < grid_w; unit_x += unit)
      for (int64_t y = unit_y; y < unit_y + unit; ++y)
        for (int64_t x = unit_x; x < unit_x + unit; ++x, row += processor.row_elems())
          write_patch(pixels, y * patch, x * patch, processor, values, row);
}

}  // namespace qsweep::image
