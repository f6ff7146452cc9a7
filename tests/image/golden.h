// The golden images: what Pillow and transformers make of the files in testdata/images.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/error.h"
#include "image/decode.h"
#include "image/patches.h"
#include "image/processor_config.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "tensor/tensor.h"

namespace qsweep::image {

inline std::string testdata(const std::string& path) { return std::string(QSWEEP_TESTDATA) + "/" + path; }

inline std::vector<std::byte> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_FALSE(text.empty()) << path;
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

inline RgbImage load(const std::string& path) {
  return decode(with_context(path, [&] { return read_image_file(path); }), path);
}

// An image that is decoded already.
class RgbReader : public ImageReader {
 public:
  explicit RgbReader(RgbImage image) : image_(std::move(image)) {
    width_ = image_.width;
    height_ = image_.height;
  }
  void read_rows(const RowSink& sink) override {
    for (int64_t y = 0; y < height_; ++y) sink(image_.pixels.data() + 3 * y * width_);
  }

 private:
  RgbImage image_;
};

struct Patches {
  Tensor pixel_values;
  int64_t grid_t = 0;
  int64_t grid_h = 0;
  int64_t grid_w = 0;
};

inline Patches make_patches(ImageReader& image, const Processor& processor, const SizeChoice& choice = {}) {
  const Size size = resized_size(upright_size(image), processor, choice);
  const auto [t, h, w] = patch_grid(size, processor);
  Patches patches{.pixel_values = {}, .grid_t = t, .grid_h = h, .grid_w = w};
  patches.pixel_values = Tensor(DType::f32, {t * h * w, processor.row_elems()});
  make_patches(image, size, processor, patches.pixel_values.as<float>());
  return patches;
}
inline Patches make_patches(const RgbImage& image, const Processor& processor,
                            const SizeChoice& choice = {}) {
  RgbReader reader(image);
  return make_patches(reader, processor, choice);
}

// What the config.json of Qwen2.5-VL says of images.
inline constexpr ModelImages kQwen2_5{
    .processor = "Qwen2VLImageProcessor", .patch_size = 14, .temporal_patch_size = 2, .merge_size = 2};
inline Processor tiny_processor() { return find_processor(testdata("tiny-qwen2.5-vl"), kQwen2_5).value(); }

// One folder of goldens: a JSON index and a safetensors file.
class Goldens {
 public:
  Goldens(const std::string& folder, const std::string& name)
      : folder_(testdata(folder) + "/"),
        index_(io::read_json_file(folder_ + name + ".json")),
        tensors_(io::SafetensorsFile::open(folder_ + name + ".safetensors")) {}

  std::string path(const std::string& file) const { return folder_ + file; }
  const io::Json& index() const { return index_; }
  TensorView tensor(const std::string& name) const {
    const io::TensorEntry* entry = tensors_.find(name);
    if (entry == nullptr) fail("no golden {}", name);
    return tensors_.view(*entry);
  }
  RgbImage image(const std::string& name) const {
    const TensorView view = tensor(name);
    const auto pixels = view.as<uint8_t>();
    return {.width = view.shape[1], .height = view.shape[0], .pixels = {pixels.begin(), pixels.end()}};
  }

 private:
  std::string folder_;
  io::Json index_;
  io::SafetensorsFile tensors_;
};

// Of transformers' own preprocessing, with real files of every usual kind.
inline Goldens main_goldens() { return {"images", "images"}; }
// Rare kinds of files, orientations and resizes (make_extra.py).
inline Goldens extra_goldens() { return {"images/extra", "extra"}; }
// What each image processor makes of those files, and many resizes (tools/processor_goldens.py).
inline Goldens processor_goldens() { return {"images/processors", "processors"}; }

// The largest difference of two images in levels; 256 where their sizes differ.
inline int worst_difference(const RgbImage& a, const RgbImage& b) {
  if (a.width != b.width || a.height != b.height || a.pixels.size() != b.pixels.size()) return 256;
  int worst = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) worst = std::max(worst, std::abs(a.pixels[i] - b.pixels[i]));
  return worst;
}

}  // namespace qsweep::image
