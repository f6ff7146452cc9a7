#include "image/size.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/error.h"
#include "image/orientation.h"

namespace qsweep::image {
namespace {

constexpr double kMaxAspectRatio = 200;

// Merged units of an image whose size the data asks for: IMAGE_MIN_TOKEN_NUM and IMAGE_MAX_TOKEN_NUM of
// qwen_vl_utils.
constexpr int64_t kMinWantedUnits = 4;
constexpr int64_t kMaxWantedUnits = 16384;

int64_t round_up(int64_t side, int64_t unit) { return ((side - 1) / unit + 1) * unit; }

Size square_size(int64_t side, const Processor& processor) {
  if (side <= 0 || side % processor.unit_side() != 0)
    fail("image size {}: expected a positive multiple of {} (patch_size {} x merge_size {})", side,
         processor.unit_side(), processor.patch_size, processor.merge_size);
  return {side, side};
}

Size size_within_limits(Size size, const Processor& processor, const SizeChoice& choice) {
  const int64_t min_pixels = choice.min_pixels.value_or(processor.min_pixels);
  const int64_t max_pixels = choice.max_pixels.value_or(processor.max_pixels);
  if (min_pixels > max_pixels)
    fail("image limits: expected min_pixels <= max_pixels, found {} and {}{}", min_pixels, max_pixels,
         choice.min_pixels && choice.max_pixels ? "" : ", one of them from the preprocessor");
  return smart_resize(size.height, size.width, processor.unit_side(), min_pixels, max_pixels);
}

Size size_by_pixel_count(Size upright, const Processor& processor, const SizeChoice& choice) {
  if (choice.square) return square_size(*choice.square, processor);
  if (!choice.wanted) return size_within_limits(upright, processor, choice);
  const int64_t factor = processor.unit_side(), unit = factor * factor;
  return smart_resize(choice.wanted->height, choice.wanted->width, factor, kMinWantedUnits * unit,
                      kMaxWantedUnits * unit);
}

// For processors that do not count pixels. What the first choice overrules does not matter.
void refuse_pixel_counts(const SizeChoice& choice, const Processor& processor) {
  const auto refuse = [&](const char* key, int64_t value) {
    fail("\"{}\": expected to be absent, as {} has no such setting, found {}", key, processor.name, value);
  };
  if (choice.wanted) refuse("resized_height", choice.wanted->height);
  if (choice.min_pixels) refuse("min_pixels", *choice.min_pixels);
  if (choice.max_pixels) refuse("max_pixels", *choice.max_pixels);
}

Size size_by_longest_edge(Size upright, const Processor& processor, const SizeChoice& choice) {
  const int64_t most = round_up(processor.longest_edge, processor.unit_side());
  if (choice.square && *choice.square > most)
    fail("image size {}: expected at most {}, the longest edge of {}", *choice.square, most, processor.name);
  if (choice.square) return square_size(*choice.square, processor);
  refuse_pixel_counts(choice, processor);
  return fit_longest_edge(upright, processor.longest_edge, processor.unit_side());
}

Size only_size(const Processor& processor, const SizeChoice& choice) {
  const Size size = processor.fixed_size;
  if (choice.square && size != Size{*choice.square, *choice.square})
    fail("image size {}: expected {} x {}, the one size of {}", *choice.square, size.width, size.height,
         processor.name);
  if (!choice.square) refuse_pixel_counts(choice, processor);
  return size;
}

Size size_by_rule(Size upright, const Processor& processor, const SizeChoice& choice) {
  switch (processor.size_rule) {
    case SizeRule::pixel_count:
      return size_by_pixel_count(upright, processor, choice);
    case SizeRule::longest_edge:
      return size_by_longest_edge(upright, processor, choice);
    case SizeRule::fixed:
      return only_size(processor, choice);
  }
  QSWEEP_CHECK(false, "rule {}", static_cast<int>(processor.size_rule));
}

}  // namespace

Size smart_resize(int64_t height, int64_t width, int64_t factor, int64_t min_pixels, int64_t max_pixels) {
  QSWEEP_CHECK(height > 0 && width > 0 && factor > 0 && min_pixels > 0 && max_pixels > 0,
               "{} x {}, factor {}, pixels {} to {}", height, width, factor, min_pixels, max_pixels);
  const auto h = static_cast<double>(height), w = static_cast<double>(width), f = static_cast<double>(factor);
  const double ratio = std::max(h, w) / std::min(h, w);
  if (ratio > kMaxAspectRatio)
    fail("the image is {} x {} pixels: expected an aspect ratio of at most {}, found {:.1f}", width, height,
         kMaxAspectRatio, ratio);
  // nearbyint rounds half to even, as Python's round.
  const auto multiple = [factor](double count) { return checked_mul(static_cast<int64_t>(count), factor); };
  Size size{.height = multiple(std::nearbyint(h / f)), .width = multiple(std::nearbyint(w / f))};
  const int64_t pixels = checked_mul(size.height, size.width);
  const auto original_pixels = static_cast<double>(checked_mul(height, width));
  if (pixels > max_pixels) {
    const double beta = std::sqrt(original_pixels / static_cast<double>(max_pixels));
    size.height = std::max(factor, multiple(std::floor(h / beta / f)));
    size.width = std::max(factor, multiple(std::floor(w / beta / f)));
  } else if (pixels < min_pixels) {
    const double beta = std::sqrt(static_cast<double>(min_pixels) / original_pixels);
    size.height = multiple(std::ceil(h * beta / f));
    size.width = multiple(std::ceil(w * beta / f));
  }
  return size;
}

Size fit_longest_edge(Size size, int64_t longest_edge, int64_t unit) {
  QSWEEP_CHECK(size.height > 0 && size.width > 0 && longest_edge > 0 && unit > 0,
               "{} x {}, longest edge {}, unit {}", size.height, size.width, longest_edge, unit);
  const double ratio =
      static_cast<double>(std::max(size.height, size.width)) / static_cast<double>(longest_edge);
  const auto side = [&](int64_t stored) {
    const int64_t shrunk =
        ratio > 1 ? static_cast<int64_t>(std::floor(static_cast<double>(stored) / ratio)) : stored;
    if (shrunk < 1)
      fail("the image is {} x {} pixels: expected an aspect ratio of at most {}, the longest edge allowed",
           size.width, size.height, longest_edge);
    return round_up(shrunk, unit);
  };
  return {.height = side(size.height), .width = side(size.width)};
}

Size upright_size(const ImageReader& image) {
  if (turn_of(image.orientation()).transpose) return {.height = image.width(), .width = image.height()};
  return {.height = image.height(), .width = image.width()};
}

Size resized_size(Size upright, const Processor& processor, const SizeChoice& choice) {
  const Size size = size_by_rule(upright, processor, choice);
  if (std::max(size.height, size.width) > kMaxSide || size.height * size.width > kMaxPixels)
    fail("image size {} x {}: more than the {} pixels allowed", size.height, size.width, kMaxPixels);
  return size;
}

std::array<int64_t, 3> patch_grid(Size resized, const Processor& processor) {
  return {1, resized.height / processor.patch_size, resized.width / processor.patch_size};
}

}  // namespace qsweep::image
