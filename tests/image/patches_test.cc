#include "image/patches.h"

#include <cmath>
#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden.h"
#include "image/preprocessor.h"

namespace qsweep::image {
namespace {

using ::testing::HasSubstr;

PatchConfig tiny_config() {
  return read_preprocessor_config(testdata("tiny-qwen2.5-vl/preprocessor_config.json"));
}

TEST(Patches, PixelValuesAndGridsAreLikeTransformers) {
  const Goldens goldens = main_goldens();
  const PatchConfig config = tiny_config();
  int with_values = 0;
  for (const io::Json& entry : goldens.index()["cases"]) {
    const std::string name = entry["name"];
    SCOPED_TRACE(name);
    const Patches patches = make_patches(goldens.image(name + ".rgb"), config);
    EXPECT_EQ(patches.grid_t, entry["grid_thw"][0]);
    EXPECT_EQ(patches.grid_h, entry["grid_thw"][1]);
    EXPECT_EQ(patches.grid_w, entry["grid_thw"][2]);
    if (!entry["has_pixel_values"]) continue;
    const TensorView expected = goldens.tensor(name + ".pixel_values");
    ASSERT_EQ(patches.pixel_values.shape(), expected.shape);
    const auto found = patches.pixel_values.as<float>();
    float worst = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      const float error = std::abs(found[i] - expected.as<float>()[i]);
      ASSERT_TRUE(error <= 1e-6f) << "element " << i;
      worst = std::max(worst, error);
    }
    std::printf("%s: worst difference %g\n", name.c_str(), static_cast<double>(worst));
    ++with_values;
  }
  EXPECT_EQ(with_values, 6);
}

TEST(Patches, RowsAreMergeBlocksAndColumnsAreChannelFrameYX) {
  const PatchConfig config{.patch_size = 2,
                           .temporal_patch_size = 3,
                           .merge_size = 2,
                           .min_pixels = 1,
                           .max_pixels = 1000,
                           .rescale_factor = 1,
                           .mean = {0, 0, 0},
                           .std = {1, 1, 1}};
  RgbImage image{.width = 8, .height = 8, .pixels = {}};
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x)
      for (int c = 0; c < 3; ++c) image.pixels.push_back(static_cast<uint8_t>(y * 8 + x + 64 * c));
  const Patches patches = make_patches(image, config, {.square = 8});
  ASSERT_EQ(patches.pixel_values.shape(), (Shape{16, 36}));
  // Row 6 is the third patch of the second unit: patch row 1, patch column 2.
  const auto row = patches.pixel_values.matrix<float>().rows_at(6, 1);
  for (int c = 0; c < 3; ++c)
    for (int frame = 0; frame < 3; ++frame)
      for (int y = 0; y < 2; ++y)
        for (int x = 0; x < 2; ++x)
          EXPECT_EQ(row.data[c * 12 + frame * 4 + y * 2 + x],
                    static_cast<float>((2 + y) * 8 + 4 + x + 64 * c));
}

TEST(Patches, FixedSquares) {
  const RgbImage image = main_goldens().image("wide.rgb");
  const Patches patches = make_patches(image, tiny_config(), {.square = 84});
  EXPECT_EQ(patches.grid_h, 6);
  EXPECT_EQ(patches.grid_w, 6);
  for (const int64_t side :
       {int64_t{0}, int64_t{-28}, int64_t{14}, int64_t{85}, int64_t{28} << 40, int64_t{28000}})
    EXPECT_THROW(make_patches(image, tiny_config(), {.square = side}), Error) << side;
}

RgbImage blank(int64_t height, int64_t width) {
  return {.width = width,
          .height = height,
          .pixels = std::vector<uint8_t>(static_cast<size_t>(height * width * 3))};
}

using Grid = std::pair<int64_t, int64_t>;  // patches high and wide

// Expected sizes by fetch_image of qwen_vl_utils 0.0.14, limits left out taken from the preprocessor.
TEST(Patches, ChoicesOfSize) {
  const auto grid = [](const RgbImage& image, const SizeChoice& choice) {
    const auto [t, h, w] =
        patch_grid(resized_size({image.height, image.width}, tiny_config(), choice), tiny_config());
    EXPECT_EQ(t, 1);
    return Grid{h, w};
  };
  const RgbImage image = blank(84, 140);  // as it is: 6 x 10 patches
  EXPECT_EQ(grid(image, {}), (Grid{6, 10}));
  EXPECT_EQ(grid(image, {.min_pixels = 3136, .max_pixels = 3136}), (Grid{2, 4}));
  EXPECT_EQ(grid(image, {.max_pixels = 4000}), (Grid{2, 4}));
  EXPECT_EQ(grid(image, {.min_pixels = 20000}), (Grid{8, 14}));
  EXPECT_EQ(grid(image, {.min_pixels = 100000, .max_pixels = 200000}), (Grid{18, 30}));
  EXPECT_EQ(grid(image, {.wanted = Size{60, 99}}), (Grid{4, 8}));
  // The preprocessor's limit of 23520 pixels does not count, nor do the others that are given.
  EXPECT_EQ(grid(image, {.wanted = Size{560, 280}, .min_pixels = 1, .max_pixels = 1}), (Grid{40, 20}));
  EXPECT_EQ(grid(image, {.wanted = Size{28, 28}}), (Grid{4, 4}));            // at least four units
  EXPECT_EQ(grid(image, {.wanted = Size{14000, 14000}}), (Grid{256, 256}));  // at most 16384
  EXPECT_EQ(grid(image, {.square = 28, .wanted = Size{84, 84}}), (Grid{2, 2}));
  EXPECT_EQ(make_patches(image, tiny_config(), {.wanted = Size{60, 99}}).pixel_values.shape()[0], 32);
}

TEST(Patches, RefusesChoicesThatContradict) {
  const auto error = [](const SizeChoice& choice) -> std::string {
    try {
      resized_size({84, 140}, tiny_config(), choice);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(error({.min_pixels = 9000, .max_pixels = 8000}),
              HasSubstr("expected min_pixels <= max_pixels, found 9000 and 8000"));
  EXPECT_THAT(error({.max_pixels = 3135}),
              HasSubstr("found 3136 and 3135, one of them from the preprocessor"));
  EXPECT_THAT(error({.wanted = Size{28, 28 * 201}}), HasSubstr("200"));
  EXPECT_THAT(error({.min_pixels = int64_t{1} << 30, .max_pixels = int64_t{1} << 31}), HasSubstr("allowed"));
}

}  // namespace
}  // namespace qsweep::image
