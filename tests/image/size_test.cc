#include "image/size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden.h"

namespace qsweep::image {
namespace {

using ::testing::HasSubstr;

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

TEST(FitLongestEdge, TheTableIsIdentical) {
  const io::Json cases = processor_goldens().index()["longest_edges"];
  EXPECT_EQ(cases.size(), 124u);
  for (const io::Json& row : cases)
    EXPECT_EQ(fit_longest_edge({.height = row[1], .width = row[0]}, row[2], row[3]),
              (Size{.height = row[5], .width = row[4]}))
        << row;
}

TEST(FitLongestEdge, SidesAreRoundedUpAndNeverEnlarged) {
  EXPECT_EQ(fit_longest_edge({29, 1}, 1540, 28), (Size{56, 28}));
  EXPECT_EQ(fit_longest_edge({1000, 1540}, 1540, 28), (Size{1008, 1540}));
  EXPECT_EQ(fit_longest_edge({200, 1}, 200, 14), (Size{210, 14}));
  try {
    fit_longest_edge({1, 201}, 200, 14);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "the image is 201 x 1 pixels: expected an aspect ratio of at most 200, the longest edge "
                 "allowed");
  }
}

TEST(SizeChoice, Squares) {
  const RgbImage image = main_goldens().image("wide.rgb");
  const Patches patches = make_patches(image, tiny_processor(), {.square = 84});
  EXPECT_EQ(patches.grid_h, 6);
  EXPECT_EQ(patches.grid_w, 6);
  for (const int64_t side :
       {int64_t{0}, int64_t{-28}, int64_t{14}, int64_t{85}, int64_t{28} << 40, int64_t{28000}})
    EXPECT_THROW(make_patches(image, tiny_processor(), {.square = side}), Error) << side;
}

RgbImage blank(int64_t height, int64_t width) {
  return {.width = width,
          .height = height,
          .pixels = std::vector<uint8_t>(static_cast<size_t>(height * width * 3))};
}

using Grid = std::pair<int64_t, int64_t>;  // patches high and wide

// Expected sizes by fetch_image of qwen_vl_utils 0.0.14, limits left out taken from the preprocessor.
TEST(SizeChoice, GridsAreThoseOfQwensMessages) {
  const auto grid = [](const RgbImage& image, const SizeChoice& choice) {
    const auto [t, h, w] =
        patch_grid(resized_size({image.height, image.width}, tiny_processor(), choice), tiny_processor());
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
  EXPECT_EQ(make_patches(image, tiny_processor(), {.wanted = Size{60, 99}}).pixel_values.shape()[0], 32);
}

std::string error_of(const Processor& processor, const SizeChoice& choice) {
  try {
    resized_size({84, 140}, processor, choice);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(SizeChoice, ContradictionsAreErrors) {
  EXPECT_THAT(error_of(tiny_processor(), {.min_pixels = 9000, .max_pixels = 8000}),
              HasSubstr("expected min_pixels <= max_pixels, found 9000 and 8000"));
  EXPECT_THAT(error_of(tiny_processor(), {.max_pixels = 3135}),
              HasSubstr("found 3136 and 3135, one of them from the preprocessor"));
  EXPECT_THAT(error_of(tiny_processor(), {.wanted = Size{28, 28 * 201}}), HasSubstr("200"));
  EXPECT_THAT(error_of(tiny_processor(), {.min_pixels = int64_t{1} << 30, .max_pixels = int64_t{1} << 31}),
              HasSubstr("allowed"));
}

// Of processors that do not count pixels.
TEST(SizeChoice, LongestEdges) {
  const Processor processor{.name = "Edges",
                            .size_rule = SizeRule::longest_edge,
                            .patch_size = 14,
                            .merge_size = 2,
                            .longest_edge = 130};
  EXPECT_EQ(resized_size({300, 100}, processor), (Size{140, 56}));
  EXPECT_EQ(resized_size({300, 100}, processor, {.square = 84}), (Size{84, 84}));
  EXPECT_EQ(resized_size({300, 100}, processor, {.square = 140, .max_pixels = 1}), (Size{140, 140}));
  EXPECT_EQ(patch_grid({140, 56}, processor), (std::array<int64_t, 3>{1, 10, 4}));
  EXPECT_THAT(error_of(processor, {.square = 168}),
              HasSubstr("image size 168: expected at most 140, the longest edge of Edges"));
  EXPECT_THAT(error_of(processor, {.square = 42}), HasSubstr("expected a positive multiple of 28"));
  EXPECT_THAT(error_of(processor, {.square = -28}), HasSubstr("expected a positive multiple of 28"));
  EXPECT_EQ(error_of(processor, {.max_pixels = 4000}),
            "\"max_pixels\": expected to be absent, as Edges has no such setting, found 4000");
  EXPECT_THAT(error_of(processor, {.min_pixels = 4000}), HasSubstr("\"min_pixels\": expected to be absent"));
  EXPECT_THAT(error_of(processor, {.wanted = Size{28, 56}}), HasSubstr("\"resized_height\": expected"));
}

TEST(SizeChoice, TheOneSize) {
  const Processor processor{.name = "One",
                            .size_rule = SizeRule::fixed,
                            .patch_size = 14,
                            .fixed_size = {.height = 84, .width = 84}};
  EXPECT_EQ(resized_size({300, 1}, processor), (Size{84, 84}));
  EXPECT_EQ(resized_size({1, 1}, processor, {.square = 84}), (Size{84, 84}));
  EXPECT_EQ(error_of(processor, {.square = 98}), "image size 98: expected 84 x 84, the one size of One");
  EXPECT_THAT(error_of(processor, {.min_pixels = 4000}), HasSubstr("\"min_pixels\": expected to be absent"));
  EXPECT_THAT(error_of(processor, {.wanted = Size{84, 84}}), HasSubstr("\"resized_height\": expected"));
}

}  // namespace
}  // namespace qsweep::image
