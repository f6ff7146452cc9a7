// An image as the rows of a vision tower's patch embedding.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "image/decode.h"
#include "image/resize.h"

namespace qsweep::image {

// The settings of a Qwen2VLImageProcessor (preprocessor.h).
struct PatchConfig {
  int64_t patch_size = 0;           // pixels
  int64_t temporal_patch_size = 0;  // frames
  int64_t merge_size = 0;           // patches per side of a merged unit
  int64_t min_pixels = 0;
  int64_t max_pixels = 0;
  double rescale_factor = 0;
  std::array<double, 3> mean{};
  std::array<double, 3> std{};

  bool operator==(const PatchConfig&) const = default;
};

// What replaces the config's rule for the size of an image. Of several the first counts; all are positive.
struct SizeChoice {
  // Both sides have so many pixels. Error unless it is a multiple of patch_size * merge_size.
  std::optional<int64_t> square = {};
  // smart_resize of this size instead of the image's, to 4 to 16384 merged units whatever the config: the
  // keys resized_height and resized_width of Qwen's messages (fetch_image of qwen_vl_utils).
  std::optional<Size> wanted = {};
  // Limits instead of the config's. Error where that leaves a minimum above the maximum.
  std::optional<int64_t> min_pixels = {}, max_pixels = {};
};

// As it is seen, once the orientation is applied.
Size upright_size(const ImageReader& image);

// The size to which an image of that size is resized: smart_resize within the limits of `config`, or what
// `choice` says, to at most kMaxPixels pixels.
Size resized_size(Size upright, const PatchConfig& config, const SizeChoice& choice = {});

// Frames, and patches high and wide, before merging. The image is repeated to fill temporal_patch_size
// frames, which is one frame of patches.
std::array<int64_t, 3> patch_grid(Size resized, const PatchConfig& config);

// The most bytes that decoding an image and making its patches takes at any time, beside the bytes of the
// file and the patches themselves. Rows are resized as they are decoded, so this is a few rows and the
// resized image; but interlaced PNG files are held whole (3 bytes a pixel), WebP files too (4, and what
// libwebp needs), and of JPEG files with several scans, as progressive ones have, the coefficients (2 bytes
// each). The header alone decides.
int64_t decode_bytes(const ImageReader& image, Size resized);

// Decodes, resizes, then float32(u8 * rescale_factor), (x - mean) / std in float32. `rows` is [patches, 3 *
// temporal_patch_size * patch_size^2]; columns (channel, frame, y, x); rows raster over merged units, within
// each its merge_size^2 patches.
void make_patches(ImageReader& image, Size resized, const PatchConfig& config, std::span<float> rows);

}  // namespace qsweep::image
