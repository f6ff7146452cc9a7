#include "image/resize.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/error.h"
#include "image/orientation.h"

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

ResizeFilter make_filter(int64_t in, int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double widening = std::max(scale, 1.0);
  const double support = kCubicSupport * widening;
  const double narrowing = 1.0 / widening;
  ResizeFilter filter;
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

// The filter of the same image seen in a mirror.
ResizeFilter mirrored(const ResizeFilter& filter, int64_t in) {
  ResizeFilter mirror{.firsts = {}, .counts = {}, .weights = {}, .stride = filter.stride};
  mirror.weights.resize(filter.weights.size());
  int32_t* weights = mirror.weights.data();
  for (int64_t i = filter.size() - 1; i >= 0; --i, weights += filter.stride) {
    const int64_t count = filter.counts[static_cast<size_t>(i)];
    mirror.firsts.push_back(in - filter.end(i));
    mirror.counts.push_back(count);
    std::reverse_copy(filter.weights.data() + i * filter.stride,
                      filter.weights.data() + i * filter.stride + count, weights);
  }
  return mirror;
}

ResizeFilter filter_of(int64_t in, int64_t out, bool mirror) {
  const ResizeFilter filter = make_filter(in, out);
  return mirror ? mirrored(filter, in) : filter;
}

int64_t bytes_of(const ResizeFilter& filter) {
  return filter.size() * 2 * static_cast<int64_t>(sizeof(int64_t)) +
         static_cast<int64_t>(filter.weights.size() * sizeof(int32_t));
}

void resize_row(const ResizeFilter& filter, const uint8_t* row, uint8_t* out) {
  for (int64_t x = 0; x < filter.size(); ++x, out += 3) {
    const int32_t* weights = filter.weights.data() + x * filter.stride;
    const uint8_t* in = row + filter.firsts[static_cast<size_t>(x)] * 3;
    int32_t sums[3] = {kHalf, kHalf, kHalf};
    for (int64_t t = 0; t < filter.counts[static_cast<size_t>(x)]; ++t, in += 3)
      for (int c = 0; c < 3; ++c) sums[c] += weights[t] * in[c];
    for (int c = 0; c < 3; ++c) out[c] = to_pixel(sums[c]);
  }
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

RowResizer::RowResizer(Size stored, int orientation, Size upright)
    : stored_(stored), orientation_(orientation) {
  QSWEEP_CHECK(stored.width > 0 && stored.height > 0 && upright.width > 0 && upright.height > 0,
               "{} x {} to {} x {}", stored.width, stored.height, upright.width, upright.height);
  const Turn turn = turn_of(orientation);
  Size from = stored, to = upright;
  if (turn.transpose) {
    std::swap(from.height, from.width);
    std::swap(to.height, to.width);
  }
  const int64_t rows_lost = from.height - upright.height;
  const int64_t columns_lost = from.width - upright.width;
  const bool columns_first = rows_lost > 0 && rows_lost > 2 * columns_lost;
  columns_first_ = columns_first != turn.transpose;
  across_ = filter_of(stored.width, to.width, turn.mirror_x);
  down_ = filter_of(stored.height, to.height, turn.mirror_y);
  result_ = {.width = to.width, .height = to.height, .pixels = {}};
}

int64_t RowResizer::line_elems() const { return 3 * (columns_first_ ? stored_.width : result_.width); }

int64_t RowResizer::max_open() const {
  int64_t most = 0;
  for (int64_t first = 0, last = 0; last < down_.size(); ++last) {
    while (down_.end(first) <= down_.firsts[static_cast<size_t>(last)]) ++first;
    most = std::max(most, last - first + 1);
  }
  return most;
}

int64_t RowResizer::bytes() const {
  const int64_t result_bytes = 3 * result_.width * result_.height;
  const int64_t copies = orientation_ == 1 ? 1 : 2;
  return bytes_of(across_) + bytes_of(down_) + copies * result_bytes +
         line_elems() * (max_open() * static_cast<int64_t>(sizeof(int32_t)) + 1);
}

void RowResizer::add(const uint8_t* row) {
  if (columns_first_) return add_to_columns(row);
  line_.resize(static_cast<size_t>(line_elems()));
  resize_row(across_, row, line_.data());
  add_to_columns(line_.data());
}

// Adds the line to every row of the result that it belongs to.
void RowResizer::add_to_columns(const uint8_t* line) {
  const auto elems = static_cast<size_t>(line_elems());
  const int64_t y = rows_seen_++;
  for (; rows_opened_ < down_.size() && down_.firsts[static_cast<size_t>(rows_opened_)] == y; ++rows_opened_)
    open_.push_back({rows_opened_, std::vector<int32_t>(elems, kHalf)});
  for (OpenRow& row : open_) {
    const int64_t t = y - down_.firsts[static_cast<size_t>(row.index)];
    const int32_t weight = down_.weights[static_cast<size_t>(row.index * down_.stride + t)];
    for (size_t i = 0; i < elems; ++i) row.sums[i] += weight * line[i];
  }
  for (; !open_.empty() && down_.end(open_.front().index) == rows_seen_; open_.pop_front())
    emit(open_.front());
}

void RowResizer::emit(const OpenRow& row) {
  result_.pixels.resize(static_cast<size_t>(3 * result_.width * result_.height));
  uint8_t* out = result_.pixels.data() + row.index * 3 * result_.width;
  if (!columns_first_) {
    std::transform(row.sums.begin(), row.sums.end(), out, to_pixel);
    return;
  }
  line_.resize(row.sums.size());
  std::transform(row.sums.begin(), row.sums.end(), line_.begin(), to_pixel);
  resize_row(across_, line_.data(), out);
}

RgbImage RowResizer::finish() {
  QSWEEP_CHECK(rows_seen_ == stored_.height && open_.empty(), "{} of {} rows", rows_seen_, stored_.height);
  return apply_orientation(std::move(result_), orientation_);
}

RgbImage resize_bicubic(const RgbImage& image, Size size) {
  RowResizer resizer({image.height, image.width}, 1, size);
  for (int64_t y = 0; y < image.height; ++y) resizer.add(image.pixels.data() + y * image.width * 3);
  return resizer.finish();
}

}  // namespace qsweep::image
