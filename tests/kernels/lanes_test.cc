// The vocabulary of the row kernels, on every device: elementary functions in units in the last place against
// long double, bf16 loads and stores, rows that do not fill the lanes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lanes_test.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "kernels/lanes_kernels-inl.h"

#if HWY_ONCE
#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <vector>

#include <gmock/gmock.h>

#include "kernels/dispatch.h"
#include "kernels/per_target.h"
#include "support/random.h"

namespace qsweep::kernels {
QSWEEP_EXPORT(Apply32);
QSWEEP_EXPORT(Apply64);
QSWEEP_EXPORT(NarrowToBf16);
QSWEEP_EXPORT(WidenTo32);
QSWEEP_EXPORT(WidenTo64);
QSWEEP_EXPORT(Float32To64);
QSWEEP_EXPORT(Sum32);
QSWEEP_EXPORT(Sum64);
QSWEEP_EXPORT(Max32);
QSWEEP_EXPORT(First32);
QSWEEP_EXPORT(Sequence);
QSWEEP_EXPORT(Parts);
QSWEEP_EXPORT(LargestOfParts);

namespace {

using ::testing::Each;

class LanesTest : public PerTarget {
 protected:
  // A kernel of lanes_kernels-inl.h from x to y; y may be longer than x.
  template <class Entry, class X, class Y, class... First>
  void run(Kernel<Entry> kernel, X& x, Y& y, First... first) {
    run_rows(device(), 1, kernel, first..., static_cast<int64_t>(x.size()), on(x).data(), on(y).data());
  }
  void apply(Function f, const std::vector<float>& x, std::vector<float>& y) {
    run(QSWEEP_KERNEL_OF(Apply32), x, y, f);
  }
  void apply(Function f, const std::vector<double>& x, std::vector<double>& y) {
    run(QSWEEP_KERNEL_OF(Apply64), x, y, f);
  }
  template <class T>
  void expect_ulps(Function f, double bound);
};
INSTANTIATE_PER_DEVICE(LanesTest);

// e^x - 1 - x, by its series where the terms cancel.
long double exact_expm1_minus_x(long double x) {
  if (std::fabs(x) > 0.5L) return std::expm1(x) - x;
  long double term = x * x / 2, sum = 0;
  for (int k = 3; k < 40; ++k) {
    sum += term;
    term *= x / k;
  }
  return sum;
}

long double exact(Function f, long double x) {
  switch (f) {
    case Function::exp:
      return std::exp(x);
    case Function::expm1:
      return std::expm1(x);
    case Function::expm1_minus_x:
      return exact_expm1_minus_x(x);
    case Function::sigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return NAN;
}

// |got - want| in units in the last place of want; beyond the largest finite value everything is the first
// power of two that overflows, below the smallest normal one the unit is the smallest subnormal.
template <class T>
double ulps(T got, long double want) {
  using Limits = std::numeric_limits<T>;
  const long double top = std::ldexp(1.0L, Limits::max_exponent);
  const long double a = std::clamp(static_cast<long double>(got), -top, top), b = std::clamp(want, -top, top);
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) == std::isnan(b) ? 0 : INFINITY;
  const int exponent = b == 0 ? Limits::min_exponent - 1 : std::max(std::ilogb(b), Limits::min_exponent - 1);
  return static_cast<double>(std::fabs(a - b) / std::ldexp(1.0L, exponent - Limits::digits + 1));
}

// Zeros, subnormals, neighbours of the reduction's and the branches' edges, overflow and underflow.
template <class T>
std::vector<T> special_arguments() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> centres{0,    Limits::denorm_min(), Limits::min(),     Limits::epsilon(), T{0.34}, T{0.5},
                         T{1}, Limits::max(),        Limits::infinity()};
  for (int k = 1; k < (std::is_same_v<T, float> ? 310 : 2200); ++k)
    centres.push_back(
        static_cast<T>(k * 0.34657359027997265471L));  // where the reduction changes: k ln 2 / 2
  std::vector<T> x;
  for (const T c : centres) {
    for (const T v : {c, std::nextafter(c, T{0}), std::nextafter(c, Limits::infinity())}) {
      x.push_back(v);
      x.push_back(-v);
    }
  }
  return x;
}

// Every 3001st float.
std::vector<float> arguments(float) {
  std::vector<float> x = special_arguments<float>();
  for (uint64_t bits = 0; bits <= 0xffffffff; bits += 3001) {
    const float v = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (!std::isnan(v)) x.push_back(v);
  }
  return x;
}

// Uniform over the finite results, and of every magnitude.
std::vector<double> arguments(double) {
  std::vector<double> x = special_arguments<double>();
  Rng rng(1);
  for (int i = 0; i < 300000; ++i) {
    x.push_back(-760 + 1480 * rng.uniform());
    const double magnitude = std::ldexp(1 + rng.uniform(), static_cast<int>(rng.below(1086)) - 1074);
    x.push_back(rng.below(2) == 0 ? magnitude : -magnitude);
    x.push_back(rng.uniform() - 0.5);
  }
  return x;
}

// Worst error over the arguments, in ulps. What follows from e^d - 1 - d overflowing is left out: it need
// only not be finite.
template <class T>
void LanesTest::expect_ulps(Function f, double bound) {
  const std::vector<T> x = arguments(T{});
  std::vector<T> y(x.size());
  apply(f, x, y);
  double worst = 0;
  T worst_x = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (f == Function::expm1_minus_x && std::isinf(x[i]) && x[i] > 0) {
      EXPECT_FALSE(std::isfinite(y[i]));
      continue;
    }
    const double error = ulps(y[i], exact(f, x[i]));
    if (error <= worst) continue;
    worst = error;
    worst_x = x[i];
  }
  ::testing::Test::RecordProperty("worst_ulps", std::to_string(worst));
  EXPECT_TRUE(worst <= bound) << worst << " ulp at " << std::hexfloat << worst_x;
}

TEST_P(LanesTest, ExpF32) { expect_ulps<float>(Function::exp, 2); }
TEST_P(LanesTest, ExpF64) { expect_ulps<double>(Function::exp, 2); }
TEST_P(LanesTest, Expm1F32) { expect_ulps<float>(Function::expm1, 3); }
TEST_P(LanesTest, Expm1F64) { expect_ulps<double>(Function::expm1, 3); }
// At the edge of the series' range, 0.34, subtracting x enlarges expm1's error by expm1(x) / (expm1(x) - x) =
// 6.2.
TEST_P(LanesTest, Expm1MinusXF32) { expect_ulps<float>(Function::expm1_minus_x, 3 * 6.2 + 1); }
TEST_P(LanesTest, Expm1MinusXF64) { expect_ulps<double>(Function::expm1_minus_x, 3 * 6.2 + 1); }
// Two ulp of e^-|x|, the rounding of the sum and of the quotient.
TEST_P(LanesTest, SigmoidF32) { expect_ulps<float>(Function::sigmoid, 4); }
TEST_P(LanesTest, SigmoidF64) { expect_ulps<double>(Function::sigmoid, 4); }

TEST_P(LanesTest, NanStaysNan) {
  for (const Function f : {Function::exp, Function::expm1, Function::expm1_minus_x, Function::sigmoid}) {
    for (const float nan :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN()}) {
      const std::vector<float> x(19, nan);
      std::vector<float> y(19, 0.0f);
      apply(f, x, y);
      EXPECT_TRUE(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }));
      const std::vector<double> x64(19, nan);
      std::vector<double> y64(19, 0.0);
      apply(f, x64, y64);
      EXPECT_TRUE(std::all_of(y64.begin(), y64.end(), [](double v) { return std::isnan(v); }));
    }
  }
}

bool same_bf16(bf16 a, bf16 b) {
  return std::isnan(to_float(b)) ? std::isnan(to_float(a)) : a.bits == b.bits;
}

TEST_P(LanesTest, StoringRoundsLikeTheScalarCodec) {
  std::vector<float> x;
  for (uint32_t high = 0; high < 0x10000; ++high)
    for (const uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      x.push_back(std::bit_cast<float>((high << 16) | low));
  std::vector<bf16> y(x.size());
  run(QSWEEP_KERNEL_OF(NarrowToBf16), x, y);
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_TRUE(same_bf16(y[i], to_bf16(x[i])))
        << std::hex << std::bit_cast<uint32_t>(x[i]) << " -> " << y[i].bits;
}

TEST_P(LanesTest, LoadingWidensExactly) {
  std::vector<bf16> x;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) x.push_back({static_cast<uint16_t>(bits)});
  std::vector<float> y(x.size());
  std::vector<double> y64(x.size()), from_float(x.size());
  run(QSWEEP_KERNEL_OF(WidenTo32), x, y);
  run(QSWEEP_KERNEL_OF(WidenTo64), x, y64);
  run(QSWEEP_KERNEL_OF(Float32To64), y, from_float);
  for (size_t i = 0; i < x.size(); ++i) {
    const float want = to_float(x[i]);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(y[i]) && std::isnan(y64[i]) && std::isnan(from_float[i])) << x[i].bits;
    } else {
      ASSERT_TRUE(y[i] == want && y64[i] == want && from_float[i] == want) << x[i].bits;
    }
  }
}

std::vector<int64_t> row_lengths() {
  std::vector<int64_t> lengths;
  for (int64_t n = 0; n <= 37; ++n) lengths.push_back(n);
  for (const int64_t lanes : {256, 512})
    for (const int64_t n : {lanes - 1, lanes, lanes + 1}) lengths.push_back(n);
  return lengths;
}

// Row lengths around multiples of the lanes: nothing is read or written beyond the end.
TEST_P(LanesTest, EveryRowLength) {
  for (const int64_t n : row_lengths()) {
    // Heap blocks of exactly n elements: a sanitizer sees any access beyond.
    std::vector<float> x(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i % 64 - 7);
    std::vector<bf16> narrow(static_cast<size_t>(n) + 1, bf16{0x1234});
    run(QSWEEP_KERNEL_OF(NarrowToBf16), x, narrow);
    for (int64_t i = 0; i < n; ++i)
      EXPECT_EQ(to_float(narrow[static_cast<size_t>(i)]), x[static_cast<size_t>(i)]) << n;
    EXPECT_EQ(narrow[static_cast<size_t>(n)].bits, 0x1234) << n;
    narrow.pop_back();
    narrow.shrink_to_fit();
    std::vector<double> wide(static_cast<size_t>(n) + 1, -99.0);
    run(QSWEEP_KERNEL_OF(WidenTo64), narrow, wide);
    for (int64_t i = 0; i < n; ++i) EXPECT_EQ(wide[static_cast<size_t>(i)], x[static_cast<size_t>(i)]) << n;
    EXPECT_EQ(wide[static_cast<size_t>(n)], -99.0) << n;

    const double total = std::accumulate(x.begin(), x.end(), static_cast<double>(n));  // of x + 1
    std::vector<float> sums(kMoreThanLanes), tops(kMoreThanLanes);
    std::vector<double> sums64(kMoreThanLanes);
    run(QSWEEP_KERNEL_OF(Sum32), x, sums);
    run(QSWEEP_KERNEL_OF(Sum64), x, sums64);
    run(QSWEEP_KERNEL_OF(Max32), x, tops);
    EXPECT_THAT(sums, Each(total)) << n;
    EXPECT_THAT(sums64, Each(total)) << n;
    EXPECT_THAT(tops, Each(n == 0 ? -INFINITY : *std::ranges::max_element(x))) << n;
  }
}

// The first of several, in any lane, and none: what lies beyond the end reads as 0 and does not count.
TEST_P(LanesTest, FirstElement) {
  for (const int64_t n : row_lengths())
    for (const int64_t place : {int64_t{0}, int64_t{7}, n / 2, n - 1, n}) {
      std::vector<float> x(static_cast<size_t>(n), 1.0f);
      for (int64_t i = std::max<int64_t>(place, 0); i < n; i += 5) x[static_cast<size_t>(i)] = 0;
      std::vector<double> found(kMoreThanLanes);
      run(QSWEEP_KERNEL_OF(First32), x, found, 0.0f);
      EXPECT_THAT(found, Each(static_cast<double>(std::clamp<int64_t>(place, 0, n)))) << n;
    }
}

TEST_P(LanesTest, WordsSeeWhatWasBeforeThem) {
  for (const int64_t n : {1, 5, 64, 700}) {
    std::vector<float> x(static_cast<size_t>(n), 3.0f), y(7 * kMoreThanLanes);
    run(QSWEEP_KERNEL_OF(Sequence), x, y);
    const auto told = [&](size_t i) { return std::span(y).subspan(i * kMoreThanLanes, kMoreThanLanes); };
    EXPECT_THAT(told(0), Each(static_cast<float>(3 * n))) << n;
    EXPECT_THAT(told(1), Each(static_cast<float>(6 * n))) << n;
    EXPECT_THAT(told(2), Each(3.0f)) << n;
    EXPECT_THAT(told(3), Each(4.0f)) << n;
    EXPECT_THAT(told(4), Each(0.0f)) << n;
    EXPECT_THAT(told(5), Each(5.0f)) << n;
    EXPECT_THAT(told(6), Each(x.back())) << n;
    // When the row was copied, only the first two were told.
    for (int64_t i = 0; i < std::min(n, 2 * kMoreThanLanes); ++i)
      EXPECT_EQ(x[static_cast<size_t>(i)], y[static_cast<size_t>(i)]) << n;
  }
}

// Few elements and many, few parts and many, whole ones and a short last one.
TEST_P(LanesTest, PartsOfARow) {
  for (const int64_t width : {1, 3, 4, 8, 12, 16, 29, 64, 200, 2100})
    for (const int64_t n : {width - 1, width, 2 * width + 1, 5 * width, 33 * width - 1}) {
      if (n == 0) continue;
      const int64_t parts = (n + width - 1) / width;
      std::vector<float> x(static_cast<size_t>(n)), y(static_cast<size_t>(3 * parts + 2 * kMoreThanLanes));
      for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 5 % 13);
      const std::vector<float> before = x;
      run(QSWEEP_KERNEL_OF(Parts), x, y, width);
      for (int64_t i = 0; i < parts; ++i) {
        const auto first = before.begin() + i * width, last = before.begin() + std::min((i + 1) * width, n);
        const float sum = std::accumulate(first, last, 0.0f);
        const auto top = std::max_element(first, last);
        const auto got = [&](int64_t k) { return y[static_cast<size_t>(k * parts + i)]; };
        ASSERT_EQ(got(0), sum) << width << ", " << n << ", part " << i;
        ASSERT_EQ(got(1), *top - sum) << width << ", " << n << ", part " << i;
        ASSERT_EQ(got(2), static_cast<float>(top - first)) << width << ", " << n << ", part " << i;
        for (auto at = first; at != last; ++at)
          ASSERT_EQ(x[static_cast<size_t>(at - before.begin())], *at - sum) << width << ", " << n;
      }
      const auto told = std::span(y).subspan(static_cast<size_t>(3 * parts));
      EXPECT_THAT(told.first(kMoreThanLanes), Each(before[0])) << width << ", " << n;
      EXPECT_THAT(told.last(kMoreThanLanes), Each(y[static_cast<size_t>(3 * parts - 1)]))
          << width << ", " << n;
    }
}

// A NaN may be the largest or not, but all lanes agree, else they would go different ways.
TEST_P(LanesTest, LanesAgreeOnTheLargestWithNan) {
  for (const int64_t width : {8, 16, 64, 200})
    for (int64_t place = 0; place < width; ++place) {
      std::vector<float> x(static_cast<size_t>(3 * width), 1.0f), y(x.size());
      x[static_cast<size_t>(width + place)] = std::numeric_limits<float>::quiet_NaN();
      run(QSWEEP_KERNEL_OF(LargestOfParts), x, y, width);
      const auto middle = std::span(y).subspan(static_cast<size_t>(width), static_cast<size_t>(width));
      const auto nans = std::ranges::count_if(middle, [](float v) { return std::isnan(v); });
      EXPECT_TRUE(nans == 0 || nans == width) << width << ", NaN at " << place;
    }
}

}  // namespace
}  // namespace qsweep::kernels
#endif  // HWY_ONCE
