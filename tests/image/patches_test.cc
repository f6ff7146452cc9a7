#include "image/patches.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <gtest/gtest.h>

#include "golden.h"
#include "model_folder.h"

namespace qsweep::image {
namespace {

TEST(Patches, PixelValuesAndGridsAreLikeTransformers) {
  const Goldens goldens = main_goldens();
  const Processor processor = tiny_processor();
  int with_values = 0;
  for (const io::Json& entry : goldens.index()["cases"]) {
    const std::string name = entry["name"];
    SCOPED_TRACE(name);
    const Patches patches = make_patches(goldens.image(name + ".rgb"), processor);
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
  const Processor processor{.size_rule = SizeRule::pixel_count,
                            .patch_order = PatchOrder::merged_units,
                            .patch_size = 2,
                            .temporal_patch_size = 3,
                            .merge_size = 2,
                            .min_pixels = 1,
                            .max_pixels = 1000,
                            .rescale_factor = 1,
                            .std = {1, 1, 1}};
  RgbImage image{.width = 8, .height = 8, .pixels = {}};
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x)
      for (int c = 0; c < 3; ++c) image.pixels.push_back(static_cast<uint8_t>(y * 8 + x + 64 * c));
  const Patches patches = make_patches(image, processor, {.square = 8});
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

// The two images of a folder whose sizes differ, grey ones, ones with alpha, long ones, and a speck.
TEST(Patches, PixelValuesOfEveryProcessorAreThoseOfTransformers) {
  const Goldens goldens = processor_goldens(), images = main_goldens();
  int compared = 0;
  for (const io::Json& entry : goldens.index()["cases"]) {
    const std::string name = entry["name"];
    const Processor processor = ModelFolder(entry).find();
    for (size_t i = 0; i < entry["images"].size(); ++i) {
      const std::string image = entry["images"][i];
      SCOPED_TRACE(name + " " + image);
      const Patches patches = make_patches(images.image(image + ".rgb"), processor);
      EXPECT_EQ((std::array{patches.grid_h, patches.grid_w}), entry["grids"][i]);
      const TensorView expected = goldens.tensor(name + "." + image);
      ASSERT_EQ(patches.pixel_values.shape(), expected.shape);
      EXPECT_TRUE(std::ranges::equal(patches.pixel_values.as<float>(), expected.as<float>()));
      ++compared;
    }
  }
  EXPECT_EQ(compared, 12);
}

}  // namespace
}  // namespace qsweep::image
