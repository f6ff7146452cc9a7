// An image as the rows of a vision tower's patch embedding.
#pragma once

#include <cstdint>
#include <span>

#include "image/decode.h"
#include "image/processor.h"
#include "image/size.h"

namespace qsweep::image {

// The most bytes that decoding an image and making its patches takes at any time, beside the bytes of the
// file and the patches themselves. Rows are resized as they are decoded, so this is a few rows and the
// resized image; but interlaced PNG files are held whole (3 bytes a pixel), WebP files too (4, and what
// libwebp needs), and of JPEG files with several scans, as progressive ones have, the coefficients (2 bytes
// each). The header alone decides.
int64_t decode_bytes(const ImageReader& image, Size resized, const Processor& processor);

// Decodes, resizes, then float32(u8 * rescale_factor), (x - mean) / std in float32. `rows` is [patches,
// processor.row_elems()] in the processor's order of patches; columns (channel, frame, y, x).
void make_patches(ImageReader& image, Size resized, const Processor& processor, std::span<float> rows);

}  // namespace qsweep::image
