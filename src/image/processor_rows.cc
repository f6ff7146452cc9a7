#include "image/processor_rows.h"

#include "base/error.h"
#include "image/size.h"

namespace qsweep::image {
namespace {

using io::KnownKey;
using io::ObjectReader;
using enum io::KeyUse;

constexpr int64_t kMaxPatchSide = 1024;
constexpr int64_t kMaxMerge = 64;
constexpr int64_t kMaxFrames = 64;
constexpr int64_t kMaxTokens = 1 << 20;

int64_t read_count(const ObjectReader& config, const char* key, int64_t high, int64_t otherwise) {
  return config.has(key) ? config.integer_in(key, 1, high) : otherwise;
}

// Error unless `found`, which `key` says or is its default, is what the model has.
void check_same(const ObjectReader& config, const char* key, int64_t in_model, int64_t found) {
  if (found != in_model)
    fail("{}: \"{}\": expected {} as in config.json, found {}{}", config.path(), key, in_model, found,
         config.has(key) ? "" : ", the default");
}

int64_t read_same(const ObjectReader& config, const char* key, int64_t high, int64_t otherwise,
                  int64_t in_model) {
  const int64_t found = read_count(config, key, high, otherwise);
  check_same(config, key, in_model, found);
  return found;
}

// Pixels per side, by themselves or as both height and width.
int64_t read_side(const ObjectReader& config, const char* key, int64_t high) {
  constexpr KnownKey kSides[] = {{"height"}, {"width"}};
  if (!config.at(key).is_object()) return config.integer_in(key, 1, high);
  const ObjectReader sides = config.object(key);
  io::check_keys(sides, {kSides});
  const int64_t height = sides.integer_in("height", 1, high), width = sides.integer_in("width", 1, high);
  if (height != width) fail("{}: expected a square, found {} x {}", sides.path(), width, height);
  return height;
}

// `key` stands by itself, or in size under the name that transformers uses or the first checkpoints did.
int64_t read_pixel_limit(const ObjectReader& config, const char* key, const char* size_key,
                         int64_t otherwise) {
  if (config.has(key)) return config.integer_in(key, 1, kMaxPixels);
  if (!config.has("size")) return otherwise;
  const ObjectReader size = config.object("size");
  return size.integer_in(size.has(key) && !size.has(size_key) ? key : size_key, 1, kMaxPixels);
}

void read_pixel_count(const ObjectReader& config, const ModelImages& model, Processor& p) {
  p.patch_size = read_same(config, "patch_size", kMaxPatchSide, p.patch_size, model.patch_size);
  p.temporal_patch_size =
      read_same(config, "temporal_patch_size", kMaxFrames, p.temporal_patch_size, model.temporal_patch_size);
  p.merge_size = read_same(config, "merge_size", kMaxMerge, p.merge_size, model.merge_size);
  p.min_pixels = read_pixel_limit(config, "min_pixels", "shortest_edge", p.min_pixels);
  p.max_pixels = read_pixel_limit(config, "max_pixels", "longest_edge", p.max_pixels);
  if (p.min_pixels > p.max_pixels)
    fail("{}: expected min_pixels <= max_pixels, found {} and {}", config.path(), p.min_pixels, p.max_pixels);
}

void read_nothing(const ObjectReader&, const ModelImages&, Processor&) {}

constexpr std::string_view kQwen2VlTypes[] = {"Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast",
                                              "Qwen2VLImageProcessorPil", "Qwen2_5_VLImageProcessor",
                                              "Qwen2_5_VLImageProcessorFast"};
constexpr KnownKey kQwen2VlKeys[] = {
    {"max_pixels"}, {"merge_size"},          {"min_pixels"},
    {"patch_size"}, {"temporal_patch_size"}, {"do_pad", only, "false"},
};
constexpr KnownKey kQwen2VlSizeKeys[] = {{"longest_edge"}, {"max_pixels"}, {"min_pixels"}, {"shortest_edge"}};
constexpr KnownKey kQwen2VlWholeKeys[] = {
    {"video_processor", ignored}, {"video_token", ignored}, {"image_token", only, "\"<|image_pad|>\""}};
constexpr Processor kQwen2Vl{.name = kQwen2VlTypes[0],
                             .size_rule = SizeRule::pixel_count,
                             .patch_order = PatchOrder::merged_units,
                             .resample = Resample::bicubic,
                             .patch_size = 14,
                             .temporal_patch_size = 2,
                             .merge_size = 2,
                             .min_pixels = 56 * 56,
                             .max_pixels = 28 * 28 * 1280,
                             .rescale_factor = 1.0 / 255,
                             .mean = {0.48145466, 0.4578275, 0.40821073},
                             .std = {0.26862954, 0.26130258, 0.27577711}};

void read_longest_edge(const ObjectReader& config, const ModelImages& model, Processor& p) {
  if (config.has("patch_size"))
    check_same(config, "patch_size", model.patch_size, read_side(config, "patch_size", kMaxPatchSide));
  if (config.has("size")) p.longest_edge = config.object("size").integer_in("longest_edge", 1, kMaxSide);
  const int64_t unit = model.patch_size * model.merge_size;
  const int64_t most = fit_longest_edge({p.longest_edge, p.longest_edge}, p.longest_edge, unit).width;
  if (model.image_size && most > *model.image_size)
    fail(
        "{}: size: \"longest_edge\": expected at most {}, the \"image_size\" of config.json, found {}, "
        "which makes sides of up to {} pixels",
        config.path(), *model.image_size, p.longest_edge, most);
}

// The whole processor replaces the patch size of its image processor, by that of a merged unit.
void read_merging(const ObjectReader& whole, const ModelImages& model, Processor& p) {
  p.patch_size = read_same(whole, "patch_size", kMaxPatchSide, p.patch_size, model.patch_size);
  p.merge_size = read_same(whole, "spatial_merge_size", kMaxMerge, p.merge_size, model.merge_size);
}

constexpr std::string_view kPixtralTypes[] = {"PixtralImageProcessor", "PixtralImageProcessorFast",
                                              "PixtralImageProcessorPil"};
constexpr KnownKey kPixtralKeys[] = {{"patch_size"},
                                     {"do_pad", ignored}};  // which makes the images of a batch alike
constexpr KnownKey kPixtralSizeKeys[] = {{"longest_edge"}};
constexpr KnownKey kPixtralWholeKeys[] = {{"patch_size"},
                                          {"spatial_merge_size"},
                                          {"image_token", only, "\"[IMG]\""},
                                          {"image_break_token", only, "\"[IMG_BREAK]\""},
                                          {"image_end_token", only, "\"[IMG_END]\""}};
constexpr Processor kPixtral{.name = kPixtralTypes[0],
                             .size_rule = SizeRule::longest_edge,
                             .patch_order = PatchOrder::raster,
                             .resample = Resample::bicubic,
                             .patch_size = 16,
                             .longest_edge = 1024,
                             .rescale_factor = 1.0 / 255,
                             .mean = {0.48145466, 0.4578275, 0.40821073},
                             .std = {0.26862954, 0.26130258, 0.27577711}};

void read_tokens(const ObjectReader& config, const ModelImages& model, Processor&) {
  if (!config.has("image_seq_length")) return;
  const int64_t found = config.integer_in("image_seq_length", 1, kMaxTokens);
  if (model.tokens_per_image) check_same(config, "image_seq_length", *model.tokens_per_image, found);
}

void read_fixed_size(const ObjectReader& config, const ModelImages& model, Processor& p) {
  p.patch_size = model.patch_size;
  read_tokens(config, model, p);
  if (config.has("size")) {
    const ObjectReader size = config.object("size");
    p.fixed_size = {.height = size.integer_in("height", 1, kMaxSide),
                    .width = size.integer_in("width", 1, kMaxSide)};
  }
  const auto [height, width] = p.fixed_size;
  if (model.image_size && (height != *model.image_size || width != *model.image_size))
    fail("{}: size: expected {} x {}, the \"image_size\" of config.json, found {} x {}", config.path(),
         *model.image_size, *model.image_size, width, height);
  if (height % p.patch_size != 0 || width % p.patch_size != 0)
    fail("{}: size: expected multiples of {}, the \"patch_size\" of config.json, found {} x {}",
         config.path(), p.patch_size, width, height);
}

constexpr std::string_view kGemma3Types[] = {"Gemma3ImageProcessor", "Gemma3ImageProcessorFast",
                                             "Gemma3ImageProcessorPil"};
constexpr KnownKey kGemma3Keys[] = {
    {"image_seq_length"},
    {"pan_and_scan_max_num_crops", ignored},  // panning and scanning is off
    {"pan_and_scan_min_crop_size", ignored},
    {"pan_and_scan_min_ratio_to_activate", ignored},
    {"do_pad", only, "false"},
    {"do_pan_and_scan", only, "false"},
};
constexpr KnownKey kGemma3SizeKeys[] = {{"height"}, {"width"}};
constexpr KnownKey kGemma3WholeKeys[] = {{"image_seq_length"}};
constexpr Processor kGemma3{.name = kGemma3Types[0],
                            .size_rule = SizeRule::fixed,
                            .patch_order = PatchOrder::raster,
                            .resample = Resample::bilinear,
                            .fixed_size = {.height = 224, .width = 224},
                            .rescale_factor = 1.0 / 255,
                            .mean = {0.5, 0.5, 0.5},
                            .std = {0.5, 0.5, 0.5}};

// Defaults are those of transformers 4.57 and 5.24 (models/*/image_processing_*.py,
// models/pixtral/processing_pixtral.py).

constexpr ProcessorRow kRows[] = {
    {kQwen2VlTypes, kQwen2Vl, kQwen2VlKeys, kQwen2VlSizeKeys, kQwen2VlWholeKeys, read_pixel_count,
     read_nothing},
    {kPixtralTypes, kPixtral, kPixtralKeys, kPixtralSizeKeys, kPixtralWholeKeys, read_longest_edge,
     read_merging},
    {kGemma3Types, kGemma3, kGemma3Keys, kGemma3SizeKeys, kGemma3WholeKeys, read_fixed_size, read_tokens},
};

}  // namespace

std::span<const ProcessorRow> processor_rows() { return kRows; }

}  // namespace qsweep::image
