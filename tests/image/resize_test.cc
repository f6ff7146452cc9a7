#include "image/resize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden.h"
#include "image/orientation.h"

namespace qsweep::image {
namespace {

void expect_resized_exactly(const Goldens& goldens, const std::string& name) {
  const RgbImage expected = goldens.image(name + ".resized");
  const RgbImage found = resize_bicubic(goldens.image(name + ".rgb"), {expected.height, expected.width});
  EXPECT_EQ(worst_difference(found, expected), 0) << name;
}

TEST(ResizeBicubic, GoldensAreBitIdentical) {
  const Goldens goldens = main_goldens();
  for (const io::Json& entry : goldens.index()["cases"]) expect_resized_exactly(goldens, entry["name"]);
}

TEST(ResizeBicubic, ExtremeScalesAreBitIdentical) {
  const Goldens goldens = extra_goldens();
  for (const io::Json& name : goldens.index()["resizes"]) expect_resized_exactly(goldens, name);
}

TEST(ResizeBicubic, TheSameSizeIsTheSameImage) {
  const RgbImage image = main_goldens().image("odd.rgb");
  EXPECT_EQ(resize_bicubic(image, {image.height, image.width}).pixels, image.pixels);
}

// Turning and mirroring are part of the resize: the same pixels as those of the image that is turned first.
TEST(RowResizer, EveryOrientationIsThatOfTheUprightImage) {
  const RgbImage stored = main_goldens().image("odd.rgb");
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const RgbImage upright = apply_orientation(stored, orientation);
    const int64_t h = upright.height, w = upright.width;
    for (const Size size : {Size{h / 3, w / 2}, Size{h / 2 + 1, w - 1}, Size{h * 2, w * 3}, Size{h, w},
                            Size{1, 1}, Size{h - 9, w - 3}, Size{h - 3, w - 9}, Size{h - 5, w + 7}}) {
      RowResizer resizer({stored.height, stored.width}, orientation, size);
      for (int64_t y = 0; y < stored.height; ++y) resizer.add(stored.pixels.data() + 3 * y * stored.width);
      EXPECT_EQ(worst_difference(resizer.finish(), resize_bicubic(upright, size)), 0)
          << "orientation " << orientation << " to " << size.width << " x " << size.height;
    }
  }
}

TEST(SmartResize, TheTableIsIdentical) {
  const Goldens goldens = main_goldens();
  int cases = 0;
  for (const io::Json& row : goldens.index()["smart_resize"]) {
    SCOPED_TRACE(row.dump());
    const auto resize = [&row] {
      return smart_resize(row["h"], row["w"], row["factor"], row["min_pixels"], row["max_pixels"]);
    };
    if (row["resized_hw"].is_array()) {
      EXPECT_EQ(resize(), (Size{row["resized_hw"][0], row["resized_hw"][1]}));
    } else {
      EXPECT_THROW(resize(), Error);
    }
    ++cases;
  }
  EXPECT_EQ(cases, 165);
}

TEST(SmartResize, AspectRatiosAbove200AreErrors) {
  EXPECT_EQ(smart_resize(200, 1, 28, 3136, 1003520), (Size{812, 28}));
  try {
    smart_resize(1, 201, 28, 3136, 1003520);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "the image is 201 x 1 pixels: expected an aspect ratio of at most 200, found 201.0");
  }
}

TEST(SmartResize, HalvesRoundToEven) {
  EXPECT_EQ(smart_resize(70, 98, 28, 1, 1003520), (Size{56, 112}));  // 2.5 and 3.5 units
}

}  // namespace
}  // namespace qsweep::image
