// What a vision-language model reads of a sample's images, and where their features stand among the tokens.
#pragma once

#include <memory>
#include <span>

#include "image/processor_config.h"
#include "models/text_inputs.h"

namespace qsweep::models {

// Rows of a vision tower.
inline constexpr graph::Rows kPatches{1};
inline constexpr graph::Rows kUnits{2};  // merged groups of patches, as the language model sees them

// Names under which the stages find them.
inline constexpr char kPixelValues[] =
    "pixel_values";                                 // table [patches, patch_dim], in the images' own order
inline constexpr char kImageRows[] = "image_rows";  // tokens from units, -1 for text

// The patches of one image: t frames of h x w patches.
struct Grid {
  int64_t t = 1, h = 0, w = 0;

  int64_t patches() const { return t * h * w; }
};
std::vector<Grid> grids_of(const Sample& sample);

// Row and column in its image of every patch: raster over units of merge x merge patches, and within each
// over its patches, as the processors of Qwen's models order them.
std::vector<std::array<int64_t, 2>> patch_places(std::span<const Grid> grids, int64_t merge);

// How a config.json describes images.
struct ImageConfig {
  int32_t image_token = 0;
  std::string image_token_text;  // as the tokenizer writes it
  std::optional<int32_t> video_token;
  std::vector<PromptToken> named_tokens;  // of which config.json says the ids, image_token among them
  image::ModelImages geometry;

  // Adds a named token, and gives its id. Error where that is missing, or not below vocab_size.
  int32_t read_token(const io::ObjectReader& config, const char* key, std::string_view token_text,
                     int64_t vocab_size);
  // The same of the token that stands for a unit of an image, under the key that older or newer files have.
  void read_image_token(const io::ObjectReader& config, std::string_view token_text, int64_t vocab_size);

  // Patches per side of a unit, which is a token.
  int64_t merge() const { return geometry.merge_size; }
  int64_t tokens_of(const Grid& grid) const;
  // The kernel of the patch embedding, which covers every patch once: of `hidden_size` features.
  Shape kernel(int64_t hidden_size) const;
  int64_t patch_dim() const {
    return 3 * geometry.temporal_patch_size * geometry.patch_size * geometry.patch_size;
  }
};

class ImageInputs : public TextInputs {
 public:
  // The settings of the folder's image processor may be missing: then only data without images can be read.
  // Error where they or the tokenizer contradict the config.
  ImageInputs(std::string folder, const TextConfig& text, const ImageConfig& images, LoadOptions options,
              std::string_view dialect);

  std::vector<PromptToken> prompt_tokens() const override;
  graph::SampleInputs load(const Sample& sample, Pixels pixels) const override;

 protected:
  // What the family's tower reads beside pixels.
  virtual void add_tower(std::span<const Grid> grids, Pixels pixels, graph::SampleInputs& inputs) const = 0;

  // What stands in the prompt for an image: by default its token once for every unit.
  virtual text::ImageText image_text(const Grid& grid) const;
  // Runs of image tokens: one per image.
  std::vector<ops::attention::Segment> image_spans(std::span<const int32_t> token_ids) const;

  std::vector<text::ImageText> examine_images(const text::Sample& data, Sample& sample) const override;

 private:
  const image::Processor& processor() const;
  Grid examine(const text::ImageSource& source, Sample& sample) const;
  std::vector<std::byte> read(const text::ImageSource& source) const;
  Tensor pixel_values(const Sample& sample, Pixels pixels) const;

  ImageConfig images_;
  LoadOptions options_;
  std::optional<image::Processor> processor_;
};

// (time, height, width) of every token (Wang et al. 2024, M-RoPE): text counts up alike in all three, an
// image's tokens are placed on its grid of units, and text goes on after the largest.
Positions mrope_positions(std::span<const int32_t> token_ids, std::span<const Grid> grids,
                          int32_t image_token, int64_t merge);

}  // namespace qsweep::models
