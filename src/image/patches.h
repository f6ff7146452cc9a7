// An image as the rows of a vision tower's patch embedding.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "image/decode.h"
#include "tensor/tensor.h"

namespace qsweep::image {

// preprocessor_config.json of a Qwen2VLImageProcessor.
struct PatchConfig {
  int64_t patch_size = 0;           // pixels
  int64_t temporal_patch_size = 0;  // frames
  int64_t merge_size = 0;           // patches per side of a merged unit
  int64_t min_pixels = 0;
  int64_t max_pixels = 0;
  double rescale_factor = 0;
  std::array<double, 3> mean{};
  std::array<double, 3> std{};
};

// Error on a missing key, a value out of range, another processor, and any setting that is not implemented
// (no resize, another filter, ...). min_pixels and max_pixels win over size.shortest_edge and
// size.longest_edge, which are pixel counts too.
PatchConfig read_preprocessor_config(const std::string& path);

struct Patches {
  // f32 [patches, 3 * temporal_patch_size * patch_size^2]; columns (channel, frame, y, x); rows raster over
  // merged units, within each its merge_size^2 patches.
  Tensor pixel_values;
  int64_t grid_t = 0;
  int64_t grid_h = 0;  // patches, before merging
  int64_t grid_w = 0;
};

// Frames, and patches high and wide, of the image once it is resized; the size alone decides.
std::array<int64_t, 3> patch_grid(const RgbImage& image, const PatchConfig& config,
                                  std::optional<int64_t> fixed_square);

// smart_resize (or to fixed_square x fixed_square pixels, Error unless a positive multiple of patch_size *
// merge_size of at most kMaxPixels pixels), then float32(u8 * rescale_factor), (x - mean) / std in float32.
// The image is repeated to fill temporal_patch_size frames: grid_t is 1.
Patches make_patches(const RgbImage& image, const PatchConfig& config, std::optional<int64_t> fixed_square);

}  // namespace qsweep::image
