#include "models/image_inputs.h"

#include <algorithm>

#include "base/readable.h"
#include "image/patches.h"
#include "image/source.h"

namespace qsweep::models {
namespace {

// --image-size is for every image; else the data may say what is to replace the preprocessor's rule.
image::SizeChoice size_choice(const text::ImageSource& source, const LoadOptions& options) {
  image::SizeChoice choice{
      .square = options.image_size, .min_pixels = source.min_pixels, .max_pixels = source.max_pixels};
  if (source.resized_height && source.resized_width)
    choice.wanted = {*source.resized_height, *source.resized_width};
  return choice;
}

// The tokens by which the model, and other programs, find an image's place.
void check_tokens(const std::string& folder, const text::Tokenizer& tokenizer,
                  std::span<const PromptToken> named) {
  for (const PromptToken& token : named) {
    const std::optional<int32_t> found = tokenizer.id_of(token.text);
    if (found && *found != token.id)
      fail("{}/tokenizer.json: {}: expected id {} as in config.json (\"{}\"), found {}", folder, token.text,
           token.id, token.key, *found);
  }
}

}  // namespace

int32_t ImageConfig::read_token(const io::ObjectReader& config, const char* key, std::string_view token_text,
                                int64_t vocab_size) {
  const auto id = static_cast<int32_t>(config.integer_in(key, 0, vocab_size - 1));
  named_tokens.push_back({.text = std::string(token_text), .key = key, .id = id});
  return id;
}

void ImageConfig::read_image_token(const io::ObjectReader& config, std::string_view token_text,
                                   int64_t vocab_size) {
  const bool older = !config.has("image_token_id") && config.has("image_token_index");
  image_token = read_token(config, older ? "image_token_index" : "image_token_id", token_text, vocab_size);
  image_token_text = token_text;
}

Shape ImageConfig::kernel(int64_t hidden_size) const {
  const int64_t side = geometry.patch_size;
  return {hidden_size, 3, geometry.temporal_patch_size, side, side};
}

int64_t ImageConfig::tokens_of(const Grid& grid) const {
  return geometry.tokens_per_image.value_or(grid.patches() / (merge() * merge()));
}

std::vector<Grid> grids_of(const Sample& sample) {
  std::vector<Grid> grids;
  for (const auto& [t, h, w] : sample.image_grids) grids.push_back({t, h, w});
  return grids;
}

std::vector<std::array<int64_t, 2>> patch_places(std::span<const Grid> grids, int64_t merge) {
  std::vector<std::array<int64_t, 2>> places;
  for (const Grid& g : grids)
    for (int64_t frame = 0; frame < g.t; ++frame)
      for (int64_t top = 0; top < g.h; top += merge)
        for (int64_t left = 0; left < g.w; left += merge)
          for (int64_t inner = 0; inner < merge * merge; ++inner)
            places.push_back({top + inner / merge, left + inner % merge});
  return places;
}

ImageInputs::ImageInputs(std::string folder, const TextConfig& text, const ImageConfig& images,
                         LoadOptions options, std::string_view dialect)
    : TextInputs(std::move(folder), text, options, dialect), images_(images), options_(std::move(options)) {
  tokens().image_pad = images.image_token;
  tokens().video_pad = images.video_token;
  tokens().image_text = images.image_token_text;
  if (tokenizer()) check_tokens(this->folder(), *tokenizer(), images.named_tokens);
  processor_ = image::find_processor(this->folder(), images.geometry);
}

std::vector<PromptToken> ImageInputs::prompt_tokens() const {
  std::vector<PromptToken> tokens = images_.named_tokens;
  for (PromptToken& token : TextInputs::prompt_tokens())
    if (std::ranges::find(tokens, token.text, &PromptToken::text) == tokens.end())
      tokens.push_back(std::move(token));
  return tokens;
}

const image::Processor& ImageInputs::processor() const {
  if (!processor_)
    fail(
        "{}/preprocessor_config.json: needed for data with images, but missing, and there is no "
        "processor_config.json with an image_processor either",
        folder());
  return *processor_;
}

std::vector<std::byte> ImageInputs::read(const text::ImageSource& source) const {
  return image::read_source(source.location, {.data = source.folder, .others = options_.allow_outside});
}

// Decodes the image once, so that a file that cannot be read ends the run before it has begun.
Grid ImageInputs::examine(const text::ImageSource& source, Sample& sample) const {
  const std::string where = readable_value(source.location);
  return with_context(where, [&] {
    const std::vector<std::byte> file = read(source);
    const std::unique_ptr<image::ImageReader> reader = image::open_image(file);
    const image::Size size =
        image::resized_size(image::upright_size(*reader), processor(), size_choice(source, options_));
    sample.decode_bytes =
        std::max(sample.decode_bytes, std::ssize(file) + image::decode_bytes(*reader, size, processor()));
    reader->read_rows([](const uint8_t*) {});
    if (!reader->damage().empty())
      sample.warnings.push_back(
          fmt::format("{}: a damaged image, taken as Pillow reads it: {}", where, reader->damage()));
    const auto [t, h, w] = image::patch_grid(size, processor());
    return Grid{t, h, w};
  });
}

text::ImageText ImageInputs::image_text(const Grid& grid) const {
  text::ImageText image{.text = {}, .image_tokens = images_.tokens_of(grid)};
  for (int64_t i = 0; i < image.image_tokens; ++i) image.text += images_.image_token_text;
  return image;
}

std::vector<text::ImageText> ImageInputs::examine_images(const text::Sample& data, Sample& sample) const {
  std::vector<text::ImageText> texts;
  sample.images = text::images_of(data);
  for (const text::ImageSource& source : sample.images) {
    const Grid grid = examine(source, sample);
    sample.image_grids.push_back({grid.t, grid.h, grid.w});
    texts.push_back(image_text(grid));
    sample.rows[kPatches] += grid.patches();
    sample.rows[kUnits] += texts.back().image_tokens;
  }
  return texts;
}

std::vector<ops::attention::Segment> ImageInputs::image_spans(std::span<const int32_t> token_ids) const {
  std::vector<ops::attention::Segment> spans;
  for (size_t i = 0; i < token_ids.size(); ++i) {
    if (token_ids[i] != images_.image_token) continue;
    const bool follows = i > 0 && token_ids[i - 1] == images_.image_token;
    if (!follows) spans.push_back({static_cast<int64_t>(i), 0});
    ++spans.back().rows;
  }
  return spans;
}

Tensor ImageInputs::pixel_values(const Sample& sample, Pixels pixels) const {
  Tensor table(DType::f32, {sample.rows[kPatches], images_.patch_dim()});
  if (pixels != Pixels::decode) return table;
  std::span<float> left = table.as<float>();
  for (size_t i = 0; i < sample.images.size(); ++i) {
    const text::ImageSource& source = sample.images[i];
    const auto [t, h, w] = sample.image_grids[i];
    const std::span<float> rows = left.first(static_cast<size_t>(t * h * w * images_.patch_dim()));
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

graph::SampleInputs ImageInputs::load(const Sample& sample, Pixels pixels) const {
  graph::SampleInputs inputs = TextInputs::load(sample, pixels);
  add_tower(grids_of(sample), pixels, inputs);
  inputs.tables[kPixelValues] =
      with_context(fmt::format("sample \"{}\"", sample.id), [&] { return pixel_values(sample, pixels); });
  graph::RowIndex image_rows{.source = kUnits, .rows = {}};
  int32_t unit = 0;
  for (const int32_t id : sample.token_ids)
    image_rows.rows.push_back(id == images_.image_token ? unit++ : -1);
  inputs.indices[kImageRows] = std::move(image_rows);
  return inputs;
}

Positions mrope_positions(std::span<const int32_t> token_ids, std::span<const Grid> grids,
                          int32_t image_token, int64_t merge) {
  Positions positions;
  const auto push = [&](int64_t t, int64_t h, int64_t w) {
    positions[0].push_back(static_cast<int32_t>(t));
    positions[1].push_back(static_cast<int32_t>(h));
    positions[2].push_back(static_cast<int32_t>(w));
  };
  int64_t next = 0;
  size_t image = 0;
  for (size_t i = 0; i < token_ids.size();) {
    if (token_ids[i] != image_token) {
      push(next, next, next);
      ++next;
      ++i;
      continue;
    }
    QSWEEP_CHECK(image < grids.size(), "more image tokens than images");
    const Grid& g = grids[image++];
    const int64_t high = g.h / merge, wide = g.w / merge;
    for (int64_t t = 0; t < g.t; ++t)
      for (int64_t y = 0; y < high; ++y)
        for (int64_t x = 0; x < wide; ++x) push(next + t, next + y, next + x);
    i += static_cast<size_t>(g.t * high * wide);
    next += std::max({g.t, high, wide});
  }
  return positions;
}

}  // namespace qsweep::models
