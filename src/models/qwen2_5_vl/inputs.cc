#include "models/qwen2_5_vl/inputs.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/readable.h"
#include "image/processor_config.h"
#include "image/source.h"

namespace qsweep::models::qwen2_5_vl {
namespace {

// cos_sin row: the cosines of the angles, then their sines.
void write_cos_sin(std::span<const float> angles, std::span<float> row) {
  for (size_t i = 0; i < angles.size(); ++i) {
    row[i] = std::cos(angles[i]);
    row[angles.size() + i] = std::sin(angles[i]);
  }
}

// theta^(-2i/dim) for i < dim/2, in f32 as the reference implementation has it.
std::vector<float> inverse_frequencies(double theta, int64_t dim) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < dim; i += 2)
    frequencies.push_back(
        1.0f / std::pow(static_cast<float>(theta), static_cast<float>(i) / static_cast<float>(dim)));
  return frequencies;
}

constexpr double kVisionRopeTheta = 10000;

// One row per patch in window order: half of the angles from the patch's row, half from its column in its
// image.
Tensor vision_cos_sin(std::span<const Grid> grids, std::span<const int32_t> window_units,
                      const VisionConfig& c) {
  const int64_t merge = c.spatial_merge_size, quarter = c.head_dim / 4;
  const auto frequencies = inverse_frequencies(kVisionRopeTheta, c.head_dim / 2);
  std::vector<std::array<int64_t, 2>>
      at;  // row and column of every patch, patches merged-unit by merged-unit
  for (const Grid& g : grids)
    for (int64_t unit = 0; unit < g.patches() / c.merge_unit(); ++unit)
      for (int64_t inner = 0; inner < c.merge_unit(); ++inner) {
        const int64_t in_frame = unit % (g.h * g.w / c.merge_unit()), units_wide = g.w / merge;
        at.push_back(
            {in_frame / units_wide * merge + inner / merge, in_frame % units_wide * merge + inner % merge});
      }
  Tensor table(DType::f32, {static_cast<int64_t>(at.size()), c.head_dim});
  const auto rows = table.matrix<float>();
  std::vector<float> angles(static_cast<size_t>(2 * quarter));
  for (int64_t r = 0; r < rows.rows; ++r) {
    const int64_t patch =
        window_units[static_cast<size_t>(r / c.merge_unit())] * c.merge_unit() + r % c.merge_unit();
    for (size_t axis = 0; axis < 2; ++axis)
      for (int64_t i = 0; i < quarter; ++i)
        angles[static_cast<size_t>(static_cast<int64_t>(axis) * quarter + i)] =
            static_cast<float>(at[static_cast<size_t>(patch)][axis]) * frequencies[static_cast<size_t>(i)];
    write_cos_sin(angles, {rows.row(r), static_cast<size_t>(c.head_dim)});
  }
  return table;
}

// M-RoPE: the i-th frequency turns by the token's time, height or width, whichever section i falls in.
Tensor text_cos_sin(const std::array<std::vector<int32_t>, 3>& positions, const TextConfig& c) {
  const auto frequencies = inverse_frequencies(c.rope_theta, c.head_dim);
  std::vector<size_t> axis;
  for (size_t section = 0; section < 3; ++section)
    axis.insert(axis.end(), static_cast<size_t>(c.mrope_section[section]), section);
  const auto tokens = static_cast<int64_t>(positions[0].size());
  Tensor table(DType::f32, {tokens, c.head_dim});
  const auto rows = table.matrix<float>();
  std::vector<float> angles(frequencies.size());
  for (int64_t t = 0; t < tokens; ++t) {
    for (size_t i = 0; i < angles.size(); ++i)
      angles[i] = static_cast<float>(positions[axis[i]][static_cast<size_t>(t)]) * frequencies[i];
    write_cos_sin(angles, {rows.row(t), static_cast<size_t>(c.head_dim)});
  }
  return table;
}

// --image-size is for every image; else the data may say what is to replace the preprocessor's rule.
image::SizeChoice size_choice(const text::ImageSource& source, const LoadOptions& options) {
  image::SizeChoice choice{
      .square = options.image_size, .min_pixels = source.min_pixels, .max_pixels = source.max_pixels};
  if (source.resized_height && source.resized_width)
    choice.wanted = {*source.resized_height, *source.resized_width};
  return choice;
}

}  // namespace

WindowOrder window_order(std::span<const Grid> grids, const VisionConfig& config) {
  const int64_t side = config.window_size / config.spatial_merge_size / config.patch_size;  // units
  WindowOrder order;
  int64_t first = 0;  // unit of the image
  for (const Grid& g : grids) {
    const int64_t high = g.h / config.spatial_merge_size, wide = g.w / config.spatial_merge_size;
    for (int64_t t = 0; t < g.t; ++t, first += high * wide) {
      for (int64_t top = 0; top < high; top += side) {
        for (int64_t left = 0; left < wide; left += side) {
          const int64_t bottom = std::min(top + side, high), right = std::min(left + side, wide);
          for (int64_t y = top; y < bottom; ++y)
            for (int64_t x = left; x < right; ++x)
              order.units.push_back(static_cast<int32_t>(first + y * wide + x));
          order.sizes.push_back(static_cast<int32_t>((bottom - top) * (right - left)));
        }
      }
    }
  }
  return order;
}

std::array<std::vector<int32_t>, 3> mrope_positions(std::span<const int32_t> token_ids,
                                                    std::span<const Grid> grids, int32_t image_token_id,
                                                    int64_t merge_size) {
  std::array<std::vector<int32_t>, 3> positions;
  const auto push = [&](int64_t t, int64_t h, int64_t w) {
    positions[0].push_back(static_cast<int32_t>(t));
    positions[1].push_back(static_cast<int32_t>(h));
    positions[2].push_back(static_cast<int32_t>(w));
  };
  int64_t next = 0;
  size_t image = 0;
  for (size_t i = 0; i < token_ids.size();) {
    if (token_ids[i] != image_token_id) {
      push(next, next, next);
      ++next;
      ++i;
      continue;
    }
    QSWEEP_CHECK(image < grids.size(), "more image tokens than images");
    const Grid& g = grids[image++];
    const int64_t high = g.h / merge_size, wide = g.w / merge_size;
    for (int64_t t = 0; t < g.t; ++t)
      for (int64_t y = 0; y < high; ++y)
        for (int64_t x = 0; x < wide; ++x) push(next + t, next + y, next + x);
    i += static_cast<size_t>(g.t * high * wide);
    next += std::max({g.t, high, wide});
  }
  return positions;
}

namespace {

constexpr std::string_view kDialect = "qwen2";  // of a checkpoint without a chat template
constexpr std::string_view kImagePad = "<|image_pad|>";

text::ImageText image_text(int64_t units) {
  text::ImageText image{.image_tokens = units};
  for (int64_t i = 0; i < units; ++i) image.text += kImagePad;
  return image;
}

// The prompt's token before an image, by which other programs find the image's place.
void check_vision_start(const std::string& path, const text::Tokenizer& tokenizer, const Config& config) {
  const auto found = tokenizer.id_of("<|vision_start|>");
  if (found && config.vision_start_token_id && *found != *config.vision_start_token_id)
    fail("{}: <|vision_start|>: expected id {} as in config.json (\"vision_start_token_id\"), found {}", path,
         *config.vision_start_token_id, *found);
}

image::ModelImages images_of(const VisionConfig& v) {
  return {.processor = "Qwen2VLImageProcessor",
          .patch_size = v.patch_size,
          .temporal_patch_size = v.temporal_patch_size,
          .merge_size = v.spatial_merge_size};
}

}  // namespace

Inputs::Inputs(const std::string& folder, Config config, const LoadOptions& options)
    : folder_(folder),
      config_(std::move(config)),
      options_(options),
      chat_format_(text::find_chat_format(folder, options.chat_template, kDialect)) {
  const std::string tokenizer = folder + "/tokenizer.json";
  if (std::filesystem::exists(tokenizer)) {
    tokenizer_ = text::Tokenizer::load(tokenizer);
    check_vision_start(tokenizer, *tokenizer_, config_);
  }
  processor_ = image::find_processor(folder, images_of(config_.vision));
}

const image::Processor& Inputs::processor() const {
  if (!processor_)
    fail(
        "{}/preprocessor_config.json: needed for data with images, but missing, and there is no "
        "processor_config.json with an image_processor either",
        folder_);
  return *processor_;
}

// Decodes the image once, so that a file that cannot be read ends the run before it has begun.
std::array<int64_t, 3> Inputs::examine(const text::ImageSource& source, Sample& sample) const {
  const image::Processor& processor = this->processor();
  const std::string where = readable_value(source.location);
  return with_context(where, [&] {
    const std::vector<std::byte> file = read(source);
    const std::unique_ptr<image::ImageReader> reader = image::open_image(file);
    const image::Size size =
        image::resized_size(image::upright_size(*reader), processor, size_choice(source, options_));
    sample.decode_bytes =
        std::max(sample.decode_bytes, std::ssize(file) + image::decode_bytes(*reader, size, processor));
    reader->read_rows([](const uint8_t*) {});
    if (!reader->damage().empty())
      sample.warnings.push_back(
          fmt::format("{}: a damaged image, taken as Pillow reads it: {}", where, reader->damage()));
    return image::patch_grid(size, processor);
  });
}

std::vector<std::byte> Inputs::read(const text::ImageSource& source) const {
  return image::read_source(source.location, {.data = source.folder, .others = options_.allow_outside});
}

Sample Inputs::prepare(const text::Sample& data) const {
  return with_context(fmt::format("sample \"{}\"", data.id), [&] {
    Sample sample;
    sample.id = data.id;
    sample.images = text::images_of(data);
    std::vector<text::ImageText> images;
    int64_t units = 0;
    for (const text::ImageSource& source : sample.images) {
      const auto [t, h, w] = examine(source, sample);
      sample.rows[static_cast<size_t>(graph::Rows::patches)] += t * h * w;
      sample.image_grids.push_back({t, h, w});
      images.push_back(image_text(t * h * w / config_.vision.merge_unit()));
      units += images.back().image_tokens;
    }
    if (!tokenizer_ && !std::holds_alternative<text::TokenIds>(data.content))
      fail("{}/tokenizer.json: needed for data that is not tokenized, but missing", folder_);
    text::EncodedSample encoded = text::encode_sample(
        tokenizer_ ? &*tokenizer_ : nullptr, data, images,
        {config_.text.vocab_size, config_.image_token_id, config_.video_token_id, std::string(kImagePad)},
        chat_format_);
    sample.token_ids = std::move(encoded.ids);
    sample.answer_mask = std::move(encoded.answer_mask);
    sample.rows[static_cast<size_t>(graph::Rows::units)] = units;
    sample.rows[static_cast<size_t>(graph::Rows::tokens)] = static_cast<int64_t>(sample.token_ids.size());
    return sample;
  });
}

Tensor Inputs::pixel_values(const Sample& sample, Pixels pixels) const {
  Tensor table(DType::f32,
               {sample.rows[static_cast<size_t>(graph::Rows::patches)], config_.vision.patch_dim()});
  if (pixels != Pixels::decode) return table;
  std::span<float> left = table.as<float>();
  for (size_t i = 0; i < sample.images.size(); ++i) {
    const text::ImageSource& source = sample.images[i];
    const auto [t, h, w] = sample.image_grids[i];
    const std::span<float> rows = left.first(static_cast<size_t>(t * h * w * config_.vision.patch_dim()));
    left = left.subspan(rows.size());
    with_context(readable_value(source.location), [&] {
      const std::vector<std::byte> file = read(source);
      const std::unique_ptr<image::ImageReader> reader = image::open_image(file);
      const image::Size size =
          image::resized_size(image::upright_size(*reader), processor(), size_choice(source, options_));
      if (image::patch_grid(size, processor()) != sample.image_grids[i])
        fail("the image's size changed while in use");
      image::make_patches(*reader, size, processor(), rows);
    });
  }
  return table;
}

void Inputs::add_vision(std::span<const Grid> grids, Pixels pixels, graph::SampleInputs& inputs) const {
  const VisionConfig& c = config_.vision;
  const WindowOrder order = window_order(grids, c);
  graph::RowIndex reorder{.source = graph::Rows::patches, .rows = {}};
  graph::RowIndex restore{.source = graph::Rows::units, .rows = std::vector<int32_t>(order.units.size())};
  const auto merge_unit = static_cast<int32_t>(c.merge_unit());
  for (size_t position = 0; position < order.units.size(); ++position) {
    for (int32_t inner = 0; inner < merge_unit; ++inner)
      reorder.rows.push_back(order.units[position] * merge_unit + inner);
    restore.rows[static_cast<size_t>(order.units[position])] = static_cast<int32_t>(position);
  }
  auto& windows = inputs.segments[kWindows];
  for (const int32_t units : order.sizes) windows.push_back(units * merge_unit);
  auto& images = inputs.segments[kImages];
  for (const Grid& g : grids)
    images.insert(images.end(), static_cast<size_t>(g.t), static_cast<int32_t>(g.h * g.w));
  inputs.tables[kVisionCosSin] = pixels != Pixels::shapes
                                     ? vision_cos_sin(grids, order.units, c)
                                     : Tensor(DType::f32, {std::ssize(reorder.rows), c.head_dim});
  inputs.indices[kWindowOrder] = std::move(reorder);
  inputs.indices[kWindowRestore] = std::move(restore);
}

graph::SampleInputs Inputs::load(const Sample& sample, Pixels pixels) const {
  graph::SampleInputs inputs;
  inputs.rows = sample.rows;
  inputs.token_ids = sample.token_ids;
  std::vector<Grid> grids;
  for (const auto& [t, h, w] : sample.image_grids) grids.push_back({t, h, w});
  add_vision(grids, pixels, inputs);
  inputs.tables[kPixelValues] =
      with_context(fmt::format("sample \"{}\"", sample.id), [&] { return pixel_values(sample, pixels); });
  inputs.tables[kTextCosSin] =
      pixels != Pixels::shapes ? text_cos_sin(mrope_positions(sample.token_ids, grids, config_.image_token_id,
                                                              config_.vision.spatial_merge_size),
                                              config_.text)
                               : Tensor(DType::f32, {std::ssize(sample.token_ids), config_.text.head_dim});
  inputs.segments[kSequence] = {static_cast<int32_t>(sample.token_ids.size())};
  graph::RowIndex image_rows{.source = graph::Rows::units, .rows = {}};
  int32_t unit = 0;
  for (const int32_t id : sample.token_ids)
    image_rows.rows.push_back(id == config_.image_token_id ? unit++ : -1);
  inputs.indices[kImageRows] = std::move(image_rows);
  return inputs;
}

}  // namespace qsweep::models::qwen2_5_vl
