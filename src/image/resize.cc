#include "image/resize.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/error.h"
#include "image/orientation.h"

namespace qsweep::image {
namespace {

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

double triangle(double x) { return std::max(1.0 - std::abs(x), 0.0); }

// How much an input pixel at a distance weighs, in pixels of the coarser image; nothing beyond the support.
struct Kernel {
  double support;
  double (*weight)(double distance);
};
constexpr Kernel kKernels[] = {{1.0, triangle}, {2.0, cubic}};  // of the values of Resample

int32_t to_fixed_point(double weight) {
  const double scaled = weight * (1 << kPrecisionBits);
  return static_cast<int32_t>(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

uint8_t to_pixel(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255)); }

constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

// That the allocator adds to a block at most.
constexpr int64_t kBlockBytes = 32;

ResizeFilter make_filter(int64_t in, int64_t out, const Kernel& kernel) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double widening = std::max(scale, 1.0);
  const double support = kernel.support * widening;
  const double narrowing = 1.0 / widening;
  ResizeFilter filter;
  filter.stride = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  filter.weights.resize(static_cast<size_t>(checked_mul(out, filter.stride)));
  filter.firsts.reserve(static_cast<size_t>(out));
  filter.counts.reserve(static_cast<size_t>(out));
  std::vector<double> weights(static_cast<size_t>(filter.stride));
  for (int64_t i = 0; i < out; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t count = std::min(static_cast<int64_t>(center + support + 0.5), in) - first;
    double total = 0.0;
    for (int64_t t = 0; t < count; ++t) {
      const double distance = static_cast<double>(t + first) - center + 0.5;
      weights[static_cast<size_t>(t)] = kernel.weight(distance * narrowing);
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
  mirror.firsts.reserve(filter.firsts.size());
  mirror.counts.reserve(filter.counts.size());
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

ResizeFilter filter_of(int64_t in, int64_t out, const Kernel& kernel, bool mirror) {
  const ResizeFilter filter = make_filter(in, out, kernel);
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

RowResizer::RowResizer(Size stored, int orientation, Size upright, Resample resample)
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
  const Kernel& kernel = kKernels[static_cast<size_t>(resample)];
  across_ = filter_of(stored.width, to.width, kernel, turn.mirror_x);
  down_ = filter_of(stored.height, to.height, kernel, turn.mirror_y);
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
  const int64_t open_row_bytes =
      line_elems() * static_cast<int64_t>(sizeof(int32_t)) + static_cast<int64_t>(sizeof(OpenRow));
  return bytes_of(across_) + bytes_of(down_) + copies * result_bytes + line_elems() +
         max_open() * (open_row_bytes + kBlockBytes);
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

RgbImage resize(const RgbImage& image, Size size, Resample resample) {
  RowResizer resizer({image.height, image.width}, 1, size, resample);
  for (int64_t y = 0; y < image.height; ++y) resizer.add(image.pixels.data() + y * image.width * 3);
  return resizer.finish();
}

}  // namespace qsweep::image
