// The size to which an image is resized, and the grid of patches that it is cut into.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "image/decode.h"
#include "image/processor.h"

namespace qsweep::image {

// transformers' smart_resize (models/qwen2_vl/image_processing_qwen2_vl.py): both sides multiples of
// `factor`, the pixel count within [min_pixels, max_pixels] as far as that allows, the aspect ratio roughly
// kept. Python's rounding: half to even. Error where one side is more than 200 times the other. All arguments
// are positive.
Size smart_resize(int64_t height, int64_t width, int64_t factor, int64_t min_pixels, int64_t max_pixels);

// transformers' get_resize_output_image_size (models/pixtral/image_processing_pixtral.py): shrunk until no
// side is above `longest_edge`, the aspect ratio kept but for rounding down, then both sides rounded up to
// multiples of `unit`. Error where nothing is left of the short side. All arguments are positive.
Size fit_longest_edge(Size size, int64_t longest_edge, int64_t unit);

// What replaces the processor's rule for the size of an image. Of several the first counts; all are positive.
struct SizeChoice {
  // Both sides have so many pixels. Error unless it is a multiple of the processor's unit, no longer than its
  // longest edge, and its fixed size where it has one.
  std::optional<int64_t> square = {};
  // These two for processors that count pixels; an Error for others.
  // smart_resize of this size instead of the image's, to 4 to 16384 merged units whatever the config: the
  // keys resized_height and resized_width of Qwen's messages (fetch_image of qwen_vl_utils).
  std::optional<Size> wanted = {};
  // Limits instead of the config's. Error where that leaves a minimum above the maximum.
  std::optional<int64_t> min_pixels = {}, max_pixels = {};
};

// As it is seen, once the orientation is applied.
Size upright_size(const ImageReader& image);

// The size to which an image of that size is resized: by the processor's rule, or what `choice` says, to at
// most kMaxPixels pixels.
Size resized_size(Size upright, const Processor& processor, const SizeChoice& choice = {});

// Frames, and patches high and wide, before merging. The image is repeated to fill temporal_patch_size
// frames, which is one frame of patches.
std::array<int64_t, 3> patch_grid(Size resized, const Processor& processor);

}  // namespace qsweep::image
