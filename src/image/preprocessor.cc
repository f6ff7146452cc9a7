#include "image/preprocessor.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/ranges.h>

#include "base/error.h"
#include "io/keys.h"

namespace qsweep::image {
namespace {

using io::KnownKey;
using io::ObjectReader;
using enum io::KeyUse;

constexpr int64_t kMaxPatchSide = 1024;
constexpr int64_t kMaxMerge = 64;
constexpr int64_t kMaxFrames = 64;

// Pixels of usual settings end up within a few units of 0; those of absurd ones beyond this, or all at once.
constexpr double kMaxPixelValue = 1000;
constexpr double kMinPixelSpan = 1e-3;

// The defaults of transformers' Qwen2VLImageProcessor (models/qwen2_vl/image_processing_qwen2_vl.py).
constexpr PatchConfig kDefaults{.patch_size = 14,
                                .temporal_patch_size = 2,
                                .merge_size = 2,
                                .min_pixels = 56 * 56,
                                .max_pixels = 28 * 28 * 1280,
                                .rescale_factor = 1.0 / 255,
                                .mean = {0.48145466, 0.4578275, 0.40821073},
                                .std = {0.26862954, 0.26130258, 0.27577711}};

// Names of one and the same processor: with PIL or torchvision behind it, and before its first release.
constexpr std::string_view kTypes[] = {"Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast",
                                       "Qwen2VLImageProcessorPil", "Qwen2_5_VLImageProcessor",
                                       "Qwen2_5_VLImageProcessorFast"};

constexpr KnownKey kKeys[] = {
    {"image_mean"},
    {"image_processor_type"},
    {"image_std"},
    {"max_pixels"},
    {"merge_size"},
    {"min_pixels"},
    {"patch_size"},
    {"rescale_factor"},
    {"size"},
    {"temporal_patch_size"},
    {"crop_size", ignored},  // cropping and padding are off
    {"default_to_square", ignored},
    {"device", ignored},
    {"disable_grouping", ignored},
    {"pad_size", ignored},
    {"processor_class", ignored},
    {"return_tensors", ignored},
    {"use_fast", ignored},
    {"data_format", only, "\"channels_first\""},
    {"do_center_crop", only, "false"},
    {"do_convert_rgb", only, "true"},
    {"do_normalize", only, "true"},
    {"do_pad", only, "false"},
    {"do_rescale", only, "true"},
    {"do_resize", only, "true"},
    {"resample", only, "3"},  // Pillow's code of bicubic
};

constexpr KnownKey kSizeKeys[] = {{"longest_edge"}, {"max_pixels"}, {"min_pixels"}, {"shortest_edge"}};

// Of a whole processor. Chat templates are not read from any file: prompts are ChatML.
constexpr KnownKey kProcessorKeys[] = {
    {"image_processor"},          {"chat_template", ignored}, {"processor_class", ignored},
    {"video_processor", ignored}, {"video_token", ignored},   {"image_token", only, "\"<|image_pad|>\""},
};

void check_type(const ObjectReader& config) {
  if (!config.has("image_processor_type")) return;  // the model's own
  const std::string type = config.string("image_processor_type");
  if (std::find(std::begin(kTypes), std::end(kTypes), type) == std::end(kTypes))
    fail("{}: \"image_processor_type\": {} is not supported; supported: {}", config.path(),
         io::shortened(type), fmt::join(kTypes, ", "));
}

int64_t read_size(const ObjectReader& config, const char* key, int64_t high, int64_t otherwise) {
  return config.has(key) ? config.integer_in(key, 1, high) : otherwise;
}

// `key` stands by itself, or in size under the name that transformers uses or the first checkpoints did.
int64_t read_pixel_limit(const ObjectReader& config, const char* key, const char* size_key,
                         int64_t otherwise) {
  if (config.has(key)) return config.integer_in(key, 1, kMaxPixels);
  if (!config.has("size")) return otherwise;
  const ObjectReader size = config.object("size");
  return size.integer_in(size.has(key) && !size.has(size_key) ? key : size_key, 1, kMaxPixels);
}

double read_positive(double value, const ObjectReader& config, const char* key) {
  if (!(value > 0) || !std::isfinite(value))
    fail("{}: \"{}\": expected a positive number, found {}", config.path(), key, value);
  return value;
}

std::array<double, 3> read_per_channel(const ObjectReader& config, const char* key,
                                       const std::array<double, 3>& otherwise) {
  if (!config.has(key)) return otherwise;
  const std::vector<double> values = config.numbers(key);
  if (values.size() != 3) fail("{}: \"{}\": expected 3 numbers, found {}", config.path(), key, values.size());
  return {values[0], values[1], values[2]};
}

// Error where black and white pixels end up far off, or at the same place.
void check_values(const PatchConfig& c, const std::string& where) {
  for (size_t channel = 0; channel < 3; ++channel) {
    const double black = -c.mean[channel] / c.std[channel];
    const double span = 255 * c.rescale_factor / c.std[channel];
    if (std::abs(black) <= kMaxPixelValue && span <= kMaxPixelValue && span >= kMinPixelSpan) continue;
    fail(
        "{}: \"image_mean\" {}, \"image_std\" {}, \"rescale_factor\" {}: expected pixels within {} of 0 and "
        "at least {} from black to white, found black at {:.3g} and white {:.3g} from it",
        where, c.mean[channel], c.std[channel], c.rescale_factor, kMaxPixelValue, kMinPixelSpan, black, span);
  }
}

PatchConfig read_image_processor(const ObjectReader& config) {
  check_type(config);
  io::check_keys(config, {kKeys});
  if (config.has("size")) io::check_keys(config.object("size"), {kSizeKeys});
  PatchConfig result{
      .patch_size = read_size(config, "patch_size", kMaxPatchSide, kDefaults.patch_size),
      .temporal_patch_size =
          read_size(config, "temporal_patch_size", kMaxFrames, kDefaults.temporal_patch_size),
      .merge_size = read_size(config, "merge_size", kMaxMerge, kDefaults.merge_size),
      .min_pixels = read_pixel_limit(config, "min_pixels", "shortest_edge", kDefaults.min_pixels),
      .max_pixels = read_pixel_limit(config, "max_pixels", "longest_edge", kDefaults.max_pixels),
      .rescale_factor = config.has("rescale_factor")
                            ? read_positive(config.number("rescale_factor"), config, "rescale_factor")
                            : kDefaults.rescale_factor,
      .mean = read_per_channel(config, "image_mean", kDefaults.mean),
      .std = read_per_channel(config, "image_std", kDefaults.std),
  };
  for (const double value : result.std) read_positive(value, config, "image_std");
  check_values(result, config.path());
  if (result.min_pixels > result.max_pixels)
    fail("{}: expected min_pixels <= max_pixels, found {} and {}", config.path(), result.min_pixels,
         result.max_pixels);
  return result;
}

// Empty where it is the file of a processor that keeps its image processor elsewhere.
std::optional<PatchConfig> read_processor(const std::string& path) {
  const io::Json json = io::read_json_file(path);
  const ObjectReader config(json, path);
  if (!config.has("image_processor")) return std::nullopt;
  io::check_keys(config, {kProcessorKeys});
  return read_image_processor(config.object("image_processor"));
}

}  // namespace

PatchConfig read_preprocessor_config(const std::string& path) {
  if (const auto whole = read_processor(path)) return *whole;
  const io::Json json = io::read_json_file(path);
  return read_image_processor(ObjectReader(json, path));
}

std::optional<Preprocessor> find_preprocessor(const std::string& folder) {
  const std::string own = folder + "/preprocessor_config.json", whole = folder + "/processor_config.json";
  std::optional<Preprocessor> found;
  if (std::filesystem::exists(own)) found = {read_preprocessor_config(own), own};
  if (!std::filesystem::exists(whole)) return found;
  const auto other = read_processor(whole);
  if (!other) return found;
  // transformers 4 reads the one, transformers 5 the other.
  if (found && found->config != *other)
    fail("{}: expected the image settings of preprocessor_config.json, found others; remove one of the files",
         whole);
  return Preprocessor{*other, whole};
}

}  // namespace qsweep::image
