#include "image/resize.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/error.h"

namespace qsweep::image {
namespace {

constexpr double kMaxAspectRatio = 200;
constexpr double kCubicSupport = 2.0;
// 8 bits of result and 2 of headroom for the overshoot of negative coefficients, in 32 bits.
constexpr int kPrecisionBits = 32 - 8 - 2;

// Cubic convolution kernel (Keys 1981) with a = -0.5.
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

int32_t to_fixed_point(double weight) {
  const double scaled = weight * (1 << kPrecisionBits);
  return static_cast<int32_t>(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

uint8_t to_pixel(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255)); }

constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

// Output i = sum over t < counts[i] of weights[i * stride + t] * input[firsts[i] + t].
struct Filter {
  std::vector<int64_t> firsts;
  std::vector<int64_t> counts;
  std::vector<int32_t> weights;
  int64_t stride = 0;
};

Filter make_filter(int64_t in, int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double widening = std::max(scale, 1.0);
  const double support = kCubicSupport * widening;
  const double narrowing = 1.0 / widening;
  Filter filter;
  filter.stride = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  filter.weights.resize(static_cast<size_t>(checked_mul(out, filter.stride)));
  std::vector<double> weights(static_cast<size_t>(filter.stride));
  for (int64_t i = 0; i < out; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t count = std::min(static_cast<int64_t>(center + support + 0.5), in) - first;
    double total = 0.0;
    for (int64_t t = 0; t < count; ++t) {
      const double distance = static_cast<double>(t + first) - center + 0.5;
      weights[static_cast<size_t>(t)] = cubic(distance * narrowing);
      total += weights[static_cast<size_t>(t)];
    }
    for (int64_t t = 0; t < count; ++t) {
      const double weight = weights[static_cast<size_t>(t)];
      filter.weights[static_cast<size_t>(i * filter.stride + t)] =
          to_fixed_point(total != 0.0 ? weight / total : weight);
    }
    filter.firsts.push_back(first);
    filter.counts.push_back(count);
  }
  return filter;
}

RgbImage blank(Size size) {
  const int64_t bytes = checked_mul(checked_mul(size.height, size.width), int64_t{3});
  return {
      .width = size.width, .height = size.height, .pixels = std::vector<uint8_t>(static_cast<size_t>(bytes))};
}

RgbImage resize_rows(const RgbImage& image, int64_t width) {
  if (width == image.width) return image;
  const Filter filter = make_filter(image.width, width);
  RgbImage resized = blank({image.height, width});
  uint8_t* out = resized.pixels.data();
  for (int64_t y = 0; y < image.height; ++y) {
    const uint8_t* row = image.pixels.data() + y * image.width * 3;
    for (int64_t x = 0; x < width; ++x, out += 3) {
      const int32_t* weights = filter.weights.data() + x * filter.stride;
      const uint8_t* in = row + filter.firsts[static_cast<size_t>(x)] * 3;
      int32_t sums[3] = {kHalf, kHalf, kHalf};
      for (int64_t t = 0; t < filter.counts[static_cast<size_t>(x)]; ++t, in += 3)
        for (int c = 0; c < 3; ++c) sums[c] += weights[t] * in[c];
      for (int c = 0; c < 3; ++c) out[c] = to_pixel(sums[c]);
    }
  }
  return resized;
}

RgbImage resize_columns(const RgbImage& image, int64_t height) {
  if (height == image.height) return image;
  const Filter filter = make_filter(image.height, height);
  RgbImage resized = blank({height, image.width});
  const int64_t row_bytes = image.width * 3;
  std::vector<int32_t> sums(static_cast<size_t>(row_bytes));
  for (int64_t y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), kHalf);
    for (int64_t t = 0; t < filter.counts[static_cast<size_t>(y)]; ++t) {
      const int32_t weight = filter.weights[static_cast<size_t>(y * filter.stride + t)];
      const uint8_t* row = image.pixels.data() + (filter.firsts[static_cast<size_t>(y)] + t) * row_bytes;
      for (int64_t i = 0; i < row_bytes; ++i) sums[static_cast<size_t>(i)] += weight * row[i];
    }
    std::transform(sums.begin(), sums.end(), resized.pixels.begin() + y * row_bytes, to_pixel);
  }
  return resized;
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

RgbImage resize_bicubic(const RgbImage& image, Size size) {
  QSWEEP_CHECK(image.width > 0 && image.height > 0 && size.width > 0 && size.height > 0, "{} x {} to {} x {}",
               image.width, image.height, size.width, size.height);
  const int64_t rows_lost = image.height - size.height;
  const int64_t columns_lost = image.width - size.width;
  const bool columns_first = rows_lost > 0 && rows_lost > 2 * columns_lost;
  if (columns_first) return resize_rows(resize_columns(image, size.height), size.width);
  return resize_columns(resize_rows(image, size.width), size.height);
}

}  // namespace qsweep::image
