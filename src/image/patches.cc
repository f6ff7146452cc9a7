#include "image/patches.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/error.h"
#include "image/orientation.h"

namespace qsweep::image {
namespace {

// Merged units of an image whose size the data asks for: IMAGE_MIN_TOKEN_NUM and IMAGE_MAX_TOKEN_NUM of
// qwen_vl_utils.
constexpr int64_t kMinWantedUnits = 4;
constexpr int64_t kMaxWantedUnits = 16384;

Size square_size(int64_t side, int64_t factor, const PatchConfig& config) {
  if (side <= 0 || side % factor != 0)
    fail("image size {}: expected a positive multiple of {} (patch_size {} x merge_size {})", side, factor,
         config.patch_size, config.merge_size);
  return {side, side};
}

Size size_within_limits(Size size, int64_t factor, const PatchConfig& config, const SizeChoice& choice) {
  const int64_t min_pixels = choice.min_pixels.value_or(config.min_pixels);
  const int64_t max_pixels = choice.max_pixels.value_or(config.max_pixels);
  if (min_pixels > max_pixels)
    fail("image limits: expected min_pixels <= max_pixels, found {} and {}{}", min_pixels, max_pixels,
         choice.min_pixels && choice.max_pixels ? "" : ", one of them from the preprocessor");
  return smart_resize(size.height, size.width, factor, min_pixels, max_pixels);
}

// The 256 values that a channel can take. In float32 after the rescale, as transformers does.
struct ChannelValues {
  float of[3][256];
};

ChannelValues normalised_values(const PatchConfig& config) {
  ChannelValues values;
  for (size_t c = 0; c < 3; ++c) {
    for (int u8 = 0; u8 < 256; ++u8) {
      const auto rescaled = static_cast<float>(u8 * config.rescale_factor);
      values.of[c][u8] = (rescaled - static_cast<float>(config.mean[c])) / static_cast<float>(config.std[c]);
    }
  }
  return values;
}

// Writes the patch whose top left pixel is (y0, x0) as one row.
void write_patch(const RgbImage& image, int64_t y0, int64_t x0, const PatchConfig& config,
                 const ChannelValues& values, float* row) {
  for (int64_t c = 0; c < 3; ++c) {
    const float* frame = row;
    for (int64_t y = y0; y < y0 + config.patch_size; ++y) {
      const uint8_t* pixel = image.pixels.data() + (y * image.width + x0) * 3 + c;
      for (int64_t x = 0; x < config.patch_size; ++x, pixel += 3) *row++ = values.of[c][*pixel];
    }
    for (int64_t copy = 1; copy < config.temporal_patch_size; ++copy)
      row = std::copy_n(frame, config.patch_size * config.patch_size, row);
  }
}

}  // namespace

Size upright_size(const ImageReader& image) {
  if (turn_of(image.orientation()).transpose) return {.height = image.width(), .width = image.height()};
  return {.height = image.height(), .width = image.width()};
}

Size resized_size(Size upright, const PatchConfig& config, const SizeChoice& choice) {
  const int64_t factor = config.patch_size * config.merge_size, unit = factor * factor;
  const Size size = choice.square   ? square_size(*choice.square, factor, config)
                    : choice.wanted ? smart_resize(choice.wanted->height, choice.wanted->width, factor,
                                                   kMinWantedUnits * unit, kMaxWantedUnits * unit)
                                    : size_within_limits(upright, factor, config, choice);
  if (std::max(size.height, size.width) > kMaxSide || size.height * size.width > kMaxPixels)
    fail("image size {} x {}: more than the {} pixels allowed", size.height, size.width, kMaxPixels);
  return size;
}

std::array<int64_t, 3> patch_grid(Size resized, const PatchConfig& config) {
  return {1, resized.height / config.patch_size, resized.width / config.patch_size};
}

int64_t decode_bytes(const ImageReader& image, Size resized) {
  return image.bytes() + RowResizer({image.height(), image.width()}, image.orientation(), resized).bytes();
}

void make_patches(ImageReader& image, Size resized, const PatchConfig& config, std::span<float> rows) {
  RowResizer resizer({image.height(), image.width()}, image.orientation(), resized);
  image.read_rows([&resizer](const uint8_t* row) { resizer.add(row); });
  const RgbImage pixels = resizer.finish();
  const ChannelValues values = normalised_values(config);
  const int64_t patch = config.patch_size, merge = config.merge_size;
  const auto [grid_t, grid_h, grid_w] = patch_grid(resized, config);
  const int64_t row_elems = 3 * config.temporal_patch_size * patch * patch;
  QSWEEP_CHECK(std::ssize(rows) == grid_t * grid_h * grid_w * row_elems, "{} values", rows.size());
  float* row = rows.data();
  for (int64_t unit_y = 0; unit_y < grid_h; unit_y += merge)
    for (int64_t unit_x = 0; unit_x < grid_w; unit_x += merge)
      for (int64_t y = unit_y; y < unit_y + merge; ++y)
        for (int64_t x = unit_x; x < unit_x + merge; ++x, row += row_elems)
          write_patch(pixels, y * patch, x * patch, config, values, row);
}

}  // namespace qsweep::image
