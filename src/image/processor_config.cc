#include "image/processor_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/ranges.h>

#include "base/error.h"
#include "image/processor_rows.h"
#include "io/keys.h"

namespace qsweep::image {
namespace {

using io::KnownKey;
using io::ObjectReader;
using enum io::KeyUse;

// Pixels of usual settings end up within a few units of 0; those of absurd ones beyond this, or all at once.
constexpr double kMaxPixelValue = 1000;
constexpr double kMinPixelSpan = 1e-3;

constexpr KnownKey kKeys[] = {
    {"image_mean"},
    {"image_processor_type"},
    {"image_std"},
    {"rescale_factor"},
    {"size"},
    {"crop_size", ignored},  // cropping is off
    {"default_to_square", ignored},
    {"device", ignored},
    {"disable_grouping", ignored},
    {"pad_size", ignored},  // no row pads an image itself
    {"processor_class", ignored},
    {"return_tensors", ignored},
    {"use_fast", ignored},
    {"data_format", only, "\"channels_first\""},
    {"do_center_crop", only, "false"},
    {"do_convert_rgb", only, "true"},
    {"do_normalize", only, "true"},
    {"do_rescale", only, "true"},
    {"do_resize", only, "true"},
    {"resample", only, "2"},  // Pillow's code of bilinear
    {"resample", only, "3"},  // and of bicubic
};
constexpr int64_t kBilinear = 2;

// Chat templates are not read from any file: prompts are the family's.
constexpr KnownKey kWholeKeys[] = {
    {"image_processor"}, {"chat_template", ignored}, {"processor_class", ignored}};

const ProcessorRow* find_row(std::string_view type) {
  for (const ProcessorRow& row : processor_rows())
    if (std::find(row.types.begin(), row.types.end(), type) != row.types.end()) return &row;
  return nullptr;
}

std::vector<std::string_view> all_types() {
  std::vector<std::string_view> types;
  for (const ProcessorRow& row : processor_rows())
    types.insert(types.end(), row.types.begin(), row.types.end());
  return types;
}

// Without a type it is the model's own.
void check_type(const ObjectReader& config, const ProcessorRow& row) {
  if (!config.has("image_processor_type")) return;
  const std::string type = config.string("image_processor_type");
  const ProcessorRow* found = find_row(type);
  if (found == nullptr)
    fail("{}: \"image_processor_type\": {} is not supported; supported: {}", config.path(),
         io::shortened(type), fmt::join(all_types(), ", "));
  if (found != &row)
    fail("{}: \"image_processor_type\": expected {}, the model's, found {}", config.path(), row.types[0],
         type);
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
void check_values(const Processor& p, const std::string& where) {
  for (size_t channel = 0; channel < 3; ++channel) {
    const double black = -p.mean[channel] / p.std[channel];
    const double span = 255 * p.rescale_factor / p.std[channel];
    if (std::abs(black) <= kMaxPixelValue && span <= kMaxPixelValue && span >= kMinPixelSpan) continue;
    fail(
        "{}: \"image_mean\" {}, \"image_std\" {}, \"rescale_factor\" {}: expected pixels within {} of 0 and "
        "at least {} from black to white, found black at {:.3g} and white {:.3g} from it",
        where, p.mean[channel], p.std[channel], p.rescale_factor, kMaxPixelValue, kMinPixelSpan, black, span);
  }
}

void read_values(const ObjectReader& config, Processor& p) {
  if (config.has("rescale_factor"))
    p.rescale_factor = read_positive(config.number("rescale_factor"), config, "rescale_factor");
  p.mean = read_per_channel(config, "image_mean", p.mean);
  p.std = read_per_channel(config, "image_std", p.std);
  for (const double value : p.std) read_positive(value, config, "image_std");
  check_values(p, config.path());
}

Processor read_image_processor(const ObjectReader& config, const ProcessorRow& row,
                               const ModelImages& model) {
  check_type(config, row);
  io::check_keys(config, {kKeys, row.keys});
  if (config.has("size")) io::check_keys(config.object("size"), {row.size_keys});
  Processor processor = row.defaults;
  if (config.has("resample"))
    processor.resample = config.integer("resample") == kBilinear ? Resample::bilinear : Resample::bicubic;
  read_values(config, processor);
  row.read(config, model, processor);
  return processor;
}

io::Json read_if_there(const std::string& path) {
  return std::filesystem::exists(path) ? io::read_json_file(path) : io::Json::object();
}

}  // namespace

std::optional<Processor> find_processor(const std::string& folder, const ModelImages& model) {
  const ProcessorRow* row = find_row(model.processor);
  QSWEEP_CHECK(row != nullptr, "no image processor {}", model.processor);
  QSWEEP_CHECK(model.patch_size > 0 && model.temporal_patch_size > 0 && model.merge_size > 0,
               "patches of {} x {}, merged by {}", model.temporal_patch_size, model.patch_size,
               model.merge_size);
  const std::string own_path = folder + "/preprocessor_config.json";
  const std::string whole_path = folder + "/processor_config.json";
  const io::Json own = read_if_there(own_path), whole_json = read_if_there(whole_path);
  const ObjectReader whole(whole_json, whole_path);
  io::check_keys(whole, {kWholeKeys, row->whole_keys});

  std::optional<Processor> found;
  if (std::filesystem::exists(own_path))
    found = read_image_processor(ObjectReader(own, own_path), *row, model);
  if (whole.has("image_processor")) {
    const Processor other = read_image_processor(whole.object("image_processor"), *row, model);
    // transformers 4 reads the one, transformers 5 the other.
    if (found && *found != other)
      fail(
          "{}: expected the image settings of preprocessor_config.json, found others; remove one of the "
          "files",
          whole_path);
    found = other;
  }
  if (found) row->read_whole(whole, model, *found);
  return found;
}

}  // namespace qsweep::image
