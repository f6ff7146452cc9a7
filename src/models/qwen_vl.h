// What the vision-language models of Qwen have in common: the shape of config.json, positions of tokens and
// patches.
#pragma once

#include <initializer_list>
#include <string>

#include "models/image_inputs.h"
#include "models/scope.h"
#include "models/weights.h"

namespace qsweep::models::qwen_vl {

// Names under which the stages find them.
inline constexpr char kVisionCosSin[] = "vision_cos_sin";  // table [patches, head_dim]
inline constexpr char kImages[] = "images";                // segments of patches: whole images

// Of the published checkpoints, and of newer transformers.
inline constexpr NameRow kNames[] = {
    {"visual.", "visual."},
    {"visual.", "model.visual."},
    {"model.", "model."},
    {"model.", "model.language_model."},
};

struct Config {
  TextConfig text;
  ImageConfig images;
};

// Text and tokens of a config.json: everything but vision_config, of which it reads the geometry of patches.
// The text's keys stand under text_config, or beside the others as older files have them; both together must
// agree. text_types: what text_config's model_type may be. patch_size: the default.
Config read_config(const io::Json& json, const std::string& where, const TextRules& rules,
                   std::initializer_list<const char*> text_types, int64_t patch_size);

// hidden_size / num_heads, a multiple of 4 as two-dimensional rotary positions need.
int64_t read_head_dim(const io::ObjectReader& vision, int64_t hidden_size, int64_t n_heads);
// Error unless the tower's features, whose width is under `key`, are as wide as the language model.
void check_features(const io::ObjectReader& vision, const char* key, int64_t width, const TextConfig& text);

// A block's attention, with one linear for queries, keys and values: [patches, hidden] from h [patches,
// hidden].
Scope::Value attention(Scope& s, Scope::Value h, const ops::attention::Spec& heads,
                       const std::string& segments);

class Inputs : public ImageInputs {
 public:
  Inputs(std::string folder, const Config& config, int64_t vision_head_dim, LoadOptions options,
         std::string_view dialect = "qwen2");

 protected:
  Positions positions(const Sample& sample) const override;
  void add_tower(std::span<const Grid> grids, Pixels pixels, graph::SampleInputs& inputs) const override;
  // A row per patch: half of the angles from its row, half from its column in its image. order: which patch
  // each row is of.
  Tensor vision_cos_sin(std::span<const Grid> grids, std::span<const int32_t> order) const;

  const ImageConfig& images() const { return images_; }
  int64_t vision_head_dim() const { return vision_head_dim_; }

 private:
  ImageConfig images_;
  int64_t vision_head_dim_;
};

}  // namespace qsweep::models::qwen_vl
