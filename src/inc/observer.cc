#include "inc/observer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <tuple>
#include <vector>

#include "kernels/rows.h"

namespace qsweep::inc {
namespace {

constexpr int kBins = 2048;
constexpr int kLevels = 256;

struct Histogram {
  float low = 0, high = 0;
  std::vector<int64_t> counts;
};

std::pair<float, float> min_max(Threads threads, Matrix<const float> x) {
  std::vector<float> low(static_cast<size_t>(x.rows)), high(low);
  kernels::row_min_max(threads, x, low, high);
  return {*std::min_element(low.begin(), low.end()), *std::max_element(high.begin(), high.end())};
}

// torch.histc. A constant x has all its elements in one bin, whichever: the bins have no width then.
Histogram histogram_of(Threads threads, Matrix<const float> x) {
  Histogram h;
  std::tie(h.low, h.high) = min_max(threads, x);
  h.counts.assign(kBins, 0);
  const float width = h.high - h.low;
  if (!std::isfinite(width)) fail("an activation is not finite, or spans more than f32 does");
  std::mutex merging;
  parallel_for(threads, x.rows, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> counts(kBins);
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t c = 0; c < x.cols; ++c) {
        const float place = width == 0 ? x.row(r)[c] - h.low : (x.row(r)[c] - h.low) / width * kBins;
        if (!(place >= 0 && place <= kBins)) fail("an activation is not a number");
        ++counts[std::min(static_cast<size_t>(place), size_t{kBins - 1})];
      }
    }
    const std::lock_guard lock(merging);
    for (size_t bin = 0; bin < kBins; ++bin) h.counts[bin] += counts[bin];
  });
  return h;
}

// Narrows the range quantile by quantile while the expected squared rounding error falls. f32 stands where
// PyTorch has f32 tensors and f64 where it has Python numbers; only the order of the final sum is our own.
class RangeSearch {
 public:
  explicit RangeSearch(const Histogram& h)
      : low_(h.low),
        high_(h.high),
        width_((static_cast<double>(h.high) - static_cast<double>(h.low)) / kBins) {
    int64_t total = 0;
    for (const int64_t count : h.counts) {
      total += count;
      counts_.push_back(static_cast<float>(count));
      cumulative_.push_back(static_cast<float>(total));
    }
  }

  std::pair<float, float> range() const {
    constexpr double kStep = 1e-5;
    const auto total = static_cast<double>(cumulative_.back());
    double alpha = 0, beta = 1, best = std::numeric_limits<double>::infinity();
    int first = 0, last = kBins - 1;
    while (alpha < beta) {
      const auto below = static_cast<float>((alpha + kStep) * total);
      const auto above = static_cast<float>((beta - kStep) * total);
      int left = first, right = last;
      while (left < last && cumulative(left) < below) ++left;
      while (right > first && cumulative(right) > above) --right;
      const bool from_left = left - first > last - right;
      (from_left ? alpha : beta) += from_left ? kStep : -kStep;
      const int next_first = from_left ? left : first, next_last = from_left ? last : right;
      if (next_first == first && next_last == last) continue;
      const double error = rounding_error(next_first, next_last);
      if (error > best) break;
      best = error;
      first = next_first;
      last = next_last;
    }
    const float width = (high_ - low_) / kBins;
    return {low_ + width * static_cast<float>(first), low_ + width * static_cast<float>(last + 1)};
  }

 private:
  float cumulative(int bin) const { return cumulative_[static_cast<size_t>(bin)]; }

  // Integral of t^2 from a to b.
  static float integral(float a, float b) { return (b * b * b - a * a * a) / 3; }

  // Of all values, each bin's spread evenly over it, when bins first..last are cut into 256 levels.
  double rounding_error(int first, int last) const {
    const double level_width = width_ * (last - first + 1) / kLevels;
    if (level_width == 0) return 0;
    const auto width = static_cast<float>(width_), level = static_cast<float>(level_width),
               half = static_cast<float>(level_width / 2);
    // The exact floor, as torch.div(rounding_mode="floor") has it: f64 holds the quotient closely enough.
    const auto level_of = [&](float place) {
      const double quotient = std::floor(static_cast<double>(place) / static_cast<double>(level));
      return static_cast<float>(std::clamp(quotient, 0.0, kLevels - 1.0));
    };
    const float whole_level = integral(-half, half);
    double sum = 0;
    for (int bin = 0; bin < kBins; ++bin) {
      if (counts_[static_cast<size_t>(bin)] == 0) continue;
      const float density = counts_[static_cast<size_t>(bin)] / width;
      const float begin = static_cast<float>(bin - first) * width, end = begin + width;
      const float level_begin = level_of(begin), level_end = level_of(end);
      float error = density * integral(begin - (level_begin + 0.5f) * level, half);
      error += (level_end - level_begin - 1) * (density * whole_level);
      error += density * integral(-half, end - (level_end * level + half));
      sum += static_cast<double>(error);
    }
    return sum;
  }

  float low_, high_;
  double width_;
  std::vector<float> counts_, cumulative_;
};

}  // namespace

AffineU8 observe(Threads threads, Matrix<const float> x) {
  QSWEEP_CHECK(!x.empty(), "nothing to observe");
  const auto [found_low, found_high] = RangeSearch(histogram_of(threads, x)).range();
  const float low = std::min(found_low, 0.0f), high = std::max(found_high, 0.0f);
  AffineU8 q;
  q.scale = std::max((high - low) / (kLevels - 1), std::numeric_limits<float>::epsilon());
  q.zero_point = std::clamp(-static_cast<int32_t>(std::nearbyint(low / q.scale)), 0, kLevels - 1);
  return q;
}

}  // namespace qsweep::inc
