// The golden images: what Pillow and transformers make of the files in testdata/images.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "image/decode.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace qsweep::image {

inline std::string testdata(const std::string& path) { return std::string(QSWEEP_TESTDATA) + "/" + path; }

inline std::vector<std::byte> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_FALSE(text.empty()) << path;
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

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

// The largest difference of two images in levels; 256 where their sizes differ.
inline int worst_difference(const RgbImage& a, const RgbImage& b) {
  if (a.width != b.width || a.height != b.height || a.pixels.size() != b.pixels.size()) return 256;
  int worst = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) worst = std::max(worst, std::abs(a.pixels[i] - b.pixels[i]));
  return worst;
}

}  // namespace qsweep::image
