// What the stages read of a sample: pixels, positions, windows, and where image features stand among the
// tokens.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "image/patches.h"
#include "models/model.h"
#include "models/qwen2_5_vl/config.h"
#include "text/encode.h"

namespace qsweep::models::qwen2_5_vl {

// Names under which the stages find them.
inline constexpr char kPixelValues[] =
    "pixel_values";  // table [patches, patch_dim], in the images' own order
inline constexpr char kVisionCosSin[] = "vision_cos_sin";   // table [patches, head_dim], in window order
inline constexpr char kTextCosSin[] = "text_cos_sin";       // table [tokens, head_dim]
inline constexpr char kWindowOrder[] = "window_order";      // patches from patches
inline constexpr char kWindowRestore[] = "window_restore";  // units from units: the inverse
inline constexpr char kImageRows[] = "image_rows";          // tokens from units, -1 for text
inline constexpr char kWindows[] = "windows";               // segments of patches in window order
inline constexpr char kImages[] = "images";                 // segments of patches: whole images
inline constexpr char kSequence[] = "sequence";             // one segment of all tokens

// The patches of one image: t frames of h x w patches.
struct Grid {
  int64_t t = 1, h = 0, w = 0;

  int64_t patches() const { return t * h * w; }
};

// The order of merged units in which windows are contiguous, and each window's number of units.
struct WindowOrder {
  std::vector<int32_t> units;  // position -> unit, image by image
  std::vector<int32_t> sizes;
};
WindowOrder window_order(std::span<const Grid> grids, const VisionConfig& config);

// (time, height, width) of every token: text counts up alike in all three, an image's tokens are placed on
// its grid, and text goes on after the largest. [3][tokens]
std::array<std::vector<int32_t>, 3> mrope_positions(std::span<const int32_t> token_ids,
                                                    std::span<const Grid> grids, int32_t image_token_id,
                                                    int64_t merge_size);

class Inputs : public InputBuilder {
 public:
  // The folder's tokenizer.json may be missing (then only tokenized data can be read), and the settings of
  // its image processor too (then only data without images).
  Inputs(const std::string& folder, Config config, const LoadOptions& options);

  Sample prepare(const text::Sample& sample) const override;
  graph::SampleInputs load(const Sample& sample, Pixels pixels) const override;

 private:
  const image::Processor& processor() const;
  // The grid of an image's patches; notes in `sample` what the image takes and what is wrong with it.
  std::array<int64_t, 3> examine(const text::ImageSource& source, Sample& sample) const;
  std::vector<std::byte> read(const text::ImageSource& source) const;
  Tensor pixel_values(const Sample& sample, Pixels pixels) const;
  void add_vision(std::span<const Grid> grids, Pixels pixels, graph::SampleInputs& inputs) const;

  std::string folder_;
  Config config_;
  LoadOptions options_;
  std::optional<text::Tokenizer> tokenizer_;
  text::ChatFormat chat_format_;
  std::optional<image::Processor> processor_;
};

}  // namespace qsweep::models::qwen2_5_vl
