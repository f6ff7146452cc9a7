// How a model wants its images: the settings of one of transformers' image processors.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "image/resize.h"

namespace qsweep::image {

// What decides the size that an image is resized to.
enum class SizeRule {
  pixel_count,   // smart_resize: about the image's shape, the number of pixels within limits
  longest_edge,  // the image's shape, smaller where a side is too long, both sides rounded up
  fixed,         // one size for all images, whatever their shape
};

// The order of an image's patches.
enum class PatchOrder {
  raster,        // row by row
  merged_units,  // the merged units row by row, and so the merge_size^2 patches of each
};

struct Processor {
  std::string_view name = "";  // as transformers calls it
  SizeRule size_rule = SizeRule::fixed;
  PatchOrder patch_order = PatchOrder::raster;
  Resample resample = Resample::bicubic;
  int64_t patch_size = 0;           // pixels
  int64_t temporal_patch_size = 1;  // frames
  int64_t merge_size = 1;           // patches per side of a merged unit
  // In pixels; each rule has its own, the others' are 0.
  int64_t min_pixels = 0, max_pixels = 0;
  int64_t longest_edge = 0;
  Size fixed_size = {};
  double rescale_factor = 0;
  std::array<double, 3> mean{};
  std::array<double, 3> std{};

  // Both sides of a resized image are multiples of so many pixels.
  int64_t unit_side() const { return patch_size * merge_size; }
  // Values of a patch's row, which is the kernel of the patch embedding flattened: [3, temporal_patch_size,
  // patch_size, patch_size].
  int64_t row_elems() const { return 3 * temporal_patch_size * patch_size * patch_size; }

  bool operator==(const Processor&) const = default;
};

}  // namespace qsweep::image
