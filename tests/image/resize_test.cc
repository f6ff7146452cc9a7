#include "image/resize.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "golden.h"
#include "image/orientation.h"

namespace qsweep::image {
namespace {

void expect_resized_exactly(const Goldens& goldens, const std::string& name) {
  const RgbImage expected = goldens.image(name + ".resized");
  const RgbImage found =
      resize(goldens.image(name + ".rgb"), {expected.height, expected.width}, Resample::bicubic);
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

uint32_t checksum(const RgbImage& image) {
  return static_cast<uint32_t>(crc32(0, image.pixels.data(), static_cast<uInt>(image.pixels.size())));
}

TEST(Resize, ManySizesAreBitIdentical) {
  const Goldens goldens = main_goldens();
  const io::Json cases = processor_goldens().index()["resizes"];
  EXPECT_EQ(cases.size(), 125u);
  for (const io::Json& row : cases) {
    const RgbImage image = goldens.image(row[0].get<std::string>() + ".rgb");
    const Size size{.height = row[2], .width = row[1]};
    EXPECT_EQ(checksum(resize(image, size, Resample::bilinear)), row[3]) << row << " bilinear";
    EXPECT_EQ(checksum(resize(image, size, Resample::bicubic)), row[4]) << row << " bicubic";
  }
}

class EveryFilter : public ::testing::TestWithParam<Resample> {};
INSTANTIATE_TEST_SUITE_P(Resize, EveryFilter, ::testing::Values(Resample::bilinear, Resample::bicubic));

TEST_P(EveryFilter, TheSameSizeIsTheSameImage) {
  const RgbImage image = main_goldens().image("odd.rgb");
  EXPECT_EQ(resize(image, {image.height, image.width}, GetParam()).pixels, image.pixels);
}

// Turning and mirroring are part of the resize: the same pixels as those of the image that is turned first.
TEST_P(EveryFilter, EveryOrientationIsThatOfTheUprightImage) {
  const RgbImage stored = main_goldens().image("odd.rgb");
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const RgbImage upright = apply_orientation(stored, orientation);
    const int64_t h = upright.height, w = upright.width;
    for (const Size size : {Size{h / 3, w / 2}, Size{h / 2 + 1, w - 1}, Size{h * 2, w * 3}, Size{h, w},
                            Size{1, 1}, Size{h - 9, w - 3}, Size{h - 3, w - 9}, Size{h - 5, w + 7}}) {
      RowResizer resizer({stored.height, stored.width}, orientation, size, GetParam());
      for (int64_t y = 0; y < stored.height; ++y) resizer.add(stored.pixels.data() + 3 * y * stored.width);
      EXPECT_EQ(worst_difference(resizer.finish(), resize(upright, size, GetParam())), 0)
          << "orientation " << orientation << " to " << size.width << " x " << size.height;
    }
  }
}

}  // namespace
}  // namespace qsweep::image
