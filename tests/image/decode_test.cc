#include "image/decode.h"

#include <cstdio>
#include <filesystem>

#include <gtest/gtest.h>

#include "golden.h"

namespace qsweep::image {
namespace {

// Another JPEG library may round the colour conversion or the inverse DCT another way.
constexpr int kJpegLevels = 4;

int allowed_levels(const std::string& file) { return file.ends_with(".jpg") ? kJpegLevels : 0; }

void expect_like_pillow(const Goldens& goldens, const std::string& file, const std::string& golden) {
  SCOPED_TRACE(file);
  const RgbImage expected = goldens.image(golden);
  const RgbImage found = load(goldens.path(file));
  EXPECT_EQ(found.width, expected.width);
  EXPECT_EQ(found.height, expected.height);
  const int worst = worst_difference(found, expected);
  EXPECT_LE(worst, allowed_levels(file));
  if (worst > 0) std::printf("%s: differs by up to %d levels\n", file.c_str(), worst);
}

TEST(Decode, GoldensAreLikePillow) {
  const Goldens goldens = main_goldens();
  for (const io::Json& entry : goldens.index()["cases"])
    expect_like_pillow(goldens, entry["file"], entry["name"].get<std::string>() + ".rgb");
}

TEST(Decode, RareKindsAreLikePillow) {
  const Goldens goldens = extra_goldens();
  for (const io::Json& file : goldens.index()["files"])
    expect_like_pillow(goldens, file, file.get<std::string>() + ".rgb");
}

TEST(Decode, EveryDataImageLoads) {
  int images = 0;
  for (const auto& entry : std::filesystem::directory_iterator(testdata("data/images"))) {
    const RgbImage image = load(entry.path());
    EXPECT_EQ(static_cast<int64_t>(image.pixels.size()), image.width * image.height * 3) << entry.path();
    ++images;
  }
  EXPECT_EQ(images, 92);
}

}  // namespace
}  // namespace qsweep::image
